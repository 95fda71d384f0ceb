"""Calibration: whether probabilities are as frequent as they say, from counts at thresholds."""
