"""Evaluate a finished model on labelled images."""
