"""What could make the figures on this data wrong."""
