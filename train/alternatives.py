"""A recipe's alternatives, trained one after another on the same images and split."""

from collections.abc import Callable
from dataclasses import replace

from .jobs import Job
from .runs import Run


def train_alternatives(job: Job, train_one: Callable[[Job], Run]) -> list[Run]:
    """Train each alternative into its own folder below the job's."""
    return [train_one(replace(job, recipe=one, out=job.out / one.name)) for one in job.recipe.alternatives]
