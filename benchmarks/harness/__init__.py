"""The code that runs on the measured device. It needs only numpy and `edge`."""
