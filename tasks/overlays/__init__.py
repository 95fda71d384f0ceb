"""Overlays: reference and prediction of one slice of an image as a small picture; arrays in, PNG out."""
