"""TODO caption."""
