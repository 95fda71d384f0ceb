"""How the plots of reports and of trainings look alike."""

PER_SAMPLE, POOLED = "#0072B2", "#C04A00"
"""Blue and orange that remain apart for colour-blind eyes; lines differ in their dashes, too."""
INK, QUIET, GRID = "#333333", "#777777", "#e6e6e6"
STYLE = {
    "text.parse_math": False,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
}
"""Settings of matplotlib."""
