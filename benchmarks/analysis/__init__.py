"""Raw times to figures and verdicts."""
