"""One .tflite file: read it, check it, write it, inspect it."""
