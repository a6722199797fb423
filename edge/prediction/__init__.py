"""One image, or many, to calibrated predictions."""
