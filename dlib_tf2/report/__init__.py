"""The study's analysis (Locatello et al. 2019, arXiv 1811.12359, section 5) of whatever models are
in a tidy table of scores.

One figure or table of the paper is one file here: a function from `Scores` to an `Exhibit` (figure,
numbers, and what stands behind them). `page` puts all of them on one HTML page. Nothing here
imports TensorFlow.
"""
