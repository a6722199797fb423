"""What the commands run, step by step."""
