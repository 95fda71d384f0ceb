"""Shards streamed over workers: the window, retries, timeouts, and the search for what ends workers."""
