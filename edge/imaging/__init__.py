"""Read any supported image file as 8-bit grey pixels."""
