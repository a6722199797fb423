"""The decision whether a variant may be released."""
