"""About: the model card, from the file."""

import gradio as gr

from ...service.model_set import ModelSet
from ..model_card import model_card


def build(scorer: ModelSet) -> None:
    """Build the tab in the current context: the card of the chosen model."""

    def show(name: str) -> str:
        return model_card(scorer.path(name), scorer.description(name))

    model = gr.Dropdown(scorer.names, value=scorer.names[0], label="Model", visible=len(scorer.names) > 1)
    shown = gr.HTML(show(scorer.names[0]))
    gr.on([model.input], show, model, shown, api_visibility="private")
