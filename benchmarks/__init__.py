"""Benchmarks of .tflite files: on this machine, another one, a phone, or in a browser."""
