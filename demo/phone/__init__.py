"""A page that runs the model on the phone itself."""
