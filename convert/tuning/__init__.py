"""The search for width, input size and variant under limits."""
