"""One HTML file to look at: the tables of a run as headline, sentences and plots."""
