"""Two stages: which body part, then whether that part is fractured."""

from collections.abc import Callable
from typing import Any

from .jobs import Job
from .runs import Run


def train_router(job: Job, fit: Callable[..., Any]) -> Run:
    """Train the body-part model and one fracture model for each part."""
    raise NotImplementedError
