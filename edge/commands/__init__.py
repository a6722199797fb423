"""The commands of the device, one module each, imported when the command is called."""
