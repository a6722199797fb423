"""The HTTP server: who may reach what, and what is logged."""
