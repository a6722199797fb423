"""Pixels to logits on the chosen hardware."""
