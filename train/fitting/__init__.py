"""Fit a network's weights to images."""
