"""The page as HTML and Gradio components."""
