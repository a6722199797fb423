"""A .tflite file in, figures on this machine out."""
