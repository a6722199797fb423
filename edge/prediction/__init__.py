"""Score one or many images: calibrated predictions."""
