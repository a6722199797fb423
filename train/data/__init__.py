"""Labelled radiographs as one catalogue."""
