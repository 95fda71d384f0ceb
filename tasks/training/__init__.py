"""What a network is trained on, in which order, and what is kept of it."""
