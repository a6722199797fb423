"""Run a model: pixels in, logits out, on the requested delegate."""
