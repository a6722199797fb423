"""The steps behind the commands."""
