"""The commands of the device: one module for each, imported when its command is called."""
