"""The Keras network."""
