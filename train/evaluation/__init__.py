"""A finished model on labelled images."""
