"""The heart: counts, scores, aggregates and their explanation. Pure numbers, importable in a notebook.

overlap     count_overlap(...) -> OverlapCounts     the one pass over the pixels of an image
per_image   score_images(...)                       scores of every image, from its counts
aggregate   per_sample(...), batch_summed(...)      means of ratios, and ratios of sums
gap         gap(...), leave_one_out(...)            why the two differ
intervals   intervals(...)                          how sure both are
compare     compare(...)                            two runs over the same images, paired
diagnose    diagnose(...), check_arrays(...)        what says that an evaluation is wrong
scores      dice, iou, tversky, ...                 the formulas, over numbers, arrays or tensors
settings    ScoreSettings                           everything but the counts that decides a score
thresholds  cumulate(...)                           counts at every threshold, from the histograms
"""
