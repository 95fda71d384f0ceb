"""Segmentation evaluation at the scale of a data set."""
