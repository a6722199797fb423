"""The tabs of the Gradio page."""
