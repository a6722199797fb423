"""A trained model in, .tflite variants that passed the gate out."""
