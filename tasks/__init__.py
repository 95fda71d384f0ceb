"""What is done to a shard: plain functions over arrays and small records, free of orchestrators and of global state."""
