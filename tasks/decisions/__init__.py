"""Decisions from the counts of written runs: what may be released, what may not, what cannot be told. Pure numbers."""
