"""A page that runs the model in the phone's browser."""
