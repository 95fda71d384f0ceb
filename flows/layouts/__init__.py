"""Layouts: how the files of a data set lie, where that is not said by patterns or a manifest."""
