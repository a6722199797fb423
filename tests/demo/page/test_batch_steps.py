"""The steps of the "Several images" tab without a browser: progress, results, cancellation, errors."""

import os
import threading
from typing import Any

import pytest

from osteolite.demo.page.tabs.batch import score_steps
from osteolite.demo.service.batch import Upload
from osteolite.demo.service.model_set import ModelSet
from osteolite.edge.prediction.prediction import Prediction


def refuse_to_score(image: bytes) -> Prediction:
    pytest.fail("an image was scored")


def steps(uploads: list[Upload], score: Any, stopped: threading.Event, **options: int) -> list[str]:
    """The HTML of the results component after each step."""
    return [update[0] for update in score_steps(uploads, score, stopped, **options)]


def test_progress_is_shown_before_the_table(batch_models: ModelSet, batch_images: list[bytes], upload: Any) -> None:
    uploads = [upload(f"<b>{number}.png", image) for number, image in enumerate(batch_images)]
    seen = steps(uploads, lambda image: batch_models.score(image, "tiny_float32"), threading.Event())
    for number in range(5):
        assert f'value="{number}"' in seen[number]
        assert f"{number} of 4" in seen[number]
    assert "4 images: 2 fractured, 2 normal, 0 not scored." in seen[-1]
    assert "<b>" not in "".join(seen)
    assert "&lt;b&gt;3.png" in seen[-1]
    assert "Body part" not in seen[-1]
    assert "Body part" in steps(uploads, lambda image: batch_models.score(image, "tiny_router"), threading.Event())[-1]


def test_cancelling_shows_the_scored_rows(batch_models: ModelSet, batch_images: list[bytes], upload: Any) -> None:
    stopped = threading.Event()

    def score(image: bytes) -> Any:
        if image == batch_images[1]:
            stopped.set()
        return batch_models.score(image, "tiny_float32")

    uploads = [upload(f"{number}.png", image) for number, image in enumerate(batch_images)]
    last = steps(uploads, score, stopped)[-1]
    assert "2 images: 2 fractured, 0 normal, 0 not scored. Cancelled after 2 of 4." in last
    assert "1.png" in last
    assert "2.png" not in last


def test_no_images_and_too_many_are_reported_in_one_line(upload: Any) -> None:
    assert "no images; choose files first" in steps([], refuse_to_score, threading.Event())[-1]
    (refused,) = steps([upload("a.png", b"a")], refuse_to_score, threading.Event(), max_images=0)
    assert "more than 0 images" in refused


def test_starting_a_batch_renews_the_uploads(batch_images: list[bytes], upload: Any) -> None:
    uploads = [upload(f"{number}.png", image) for number, image in enumerate(batch_images)]
    for uploaded in uploads:
        os.utime(uploaded.path, (0, 0))
    next(score_steps(uploads, refuse_to_score, threading.Event()))
    assert all(uploaded.path.stat().st_mtime > 0 for uploaded in uploads)
