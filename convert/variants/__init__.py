"""From one float32 flatbuffer to each variant."""
