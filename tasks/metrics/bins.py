"""Bins: how finely probabilities are kept. Without a library, as every process that counts begins with it."""

BINS = 256
"""Of the histograms of probabilities, and codes of a probability in 8 bits: bin k holds k/256 <= p < (k+1)/256."""
