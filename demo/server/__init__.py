"""What may be reached, by whom, and what is kept."""
