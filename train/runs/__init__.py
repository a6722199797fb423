"""The run folder, and what a run starts from."""
