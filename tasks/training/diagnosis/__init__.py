"""What a training history says is wrong."""
