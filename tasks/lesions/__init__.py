"""Lesions: connected components of masks, which of them were found, and what that is worth. Pure numbers."""
