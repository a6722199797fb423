"""The run folder, and the starting weights and images of a run."""
