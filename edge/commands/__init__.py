"""The commands of the device: one module each, imported when its command is called."""
