"""The "About" tab: the model card of the chosen model."""

import gradio as gr

from ...service.model_set import ModelSet
from ..model_card import model_card


def build(models: ModelSet) -> None:
    """Build the tab inside the current Gradio context.

    Args:
        models: the models to choose from.
    """

    def show(name: str) -> str:
        return model_card(models.path(name), models.description(name))

    model = gr.Dropdown(models.names, value=models.names[0], label="Model", visible=len(models.names) > 1)
    shown = gr.HTML(show(models.names[0]))
    gr.on([model.input], show, model, shown, api_visibility="private")
