"""Score the files of a folder as they arrive."""
