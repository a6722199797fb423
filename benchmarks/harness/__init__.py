"""Runs on the device that is measured; needs numpy and edge alone."""
