"""What is converted: a run, or another program's network."""
