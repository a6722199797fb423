"""From a trained model to .tflite variants that passed the gate."""
