"""The search for width, input size and variant within limits."""
