"""The HTML page of benchmark results, with its plots."""
