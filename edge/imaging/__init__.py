"""Any image file to 8-bit grey pixels."""
