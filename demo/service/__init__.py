"""What the page does, without HTML."""
