"""What is asked of written reports and histories."""
