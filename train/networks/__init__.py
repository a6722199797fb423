"""The Keras networks and what their activations show."""
