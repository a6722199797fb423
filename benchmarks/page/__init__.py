"""The HTML page of benchmark results."""
