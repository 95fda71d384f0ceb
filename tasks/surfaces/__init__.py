"""Distances between the surfaces of two masks, under the names that the field has for their summaries. Pure numbers.

distances    surface_distances(...) -> SurfaceDistances   one pair, all definitions
stacks       stack_surface_scores(...) -> StackScores     many images of one size in a call
histograms   distance_histogram(...)                      what other percentiles and tolerances need later
masks        mask_pair(...) -> MaskPair                   two masks as rows of bits, where any of them has voxels
borders      border(...) -> Border                        border voxels as bits
nearest      nearest(...)                                 from each border voxel to the nearest one of the other
elements     weighted_percentile(...)                     by surface elements, weighted by their area

How `nearest` goes about it: `search` looks at the places around a voxel, nearest first, for all voxels of a word at
once. What is further goes to `far_search`, where neighbouring voxels share the few targets that can be nearest to any
of them, or, where that is so much that it pays, to `envelopes`, which works off whole columns. All are exact.
"""
