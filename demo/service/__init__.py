"""What the page does, without HTML or Gradio."""
