"""Checks of a data set before training: leaks, duplicates, confounders."""
