"""A float32 flatbuffer to each variant."""
