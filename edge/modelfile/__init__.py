"""Read, check, write and inspect a model file."""
