"""Labelled radiographs in, a trained, calibrated, honestly evaluated model out."""
