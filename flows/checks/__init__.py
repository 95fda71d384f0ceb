"""What can be wrong before a run starts."""
