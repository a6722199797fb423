"""Whether a variant may be released."""
