"""Streams of images: order, errors, memory, threads and closing."""

import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from osteolite.edge import FractureClassifier, Prediction, Router
from osteolite.edge.errors import ImageError, ModelFileError, UnreadableImage, UsageError


@pytest.fixture
def classifier(tiny_model: Path) -> Iterator[FractureClassifier]:
    with FractureClassifier(tiny_model) as opened:
        yield opened


def pictures(count: int) -> list[np.ndarray[Any, Any]]:
    """Make pictures of different probabilities, so that a wrong order is detected."""
    return [np.full((20, 20), index % 256, np.uint8) for index in range(count)]


def probabilities(predictions: Any) -> list[float]:
    return [prediction.fracture_probability for prediction in predictions]


@pytest.mark.parametrize("workers", [None, 1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 100])
def test_a_stream_gives_the_results_of_predict_in_order(
    classifier: FractureClassifier, count: int, workers: int | None
) -> None:
    expected = probabilities(map(classifier.predict, pictures(count)))
    assert probabilities(classifier.predict_stream(iter(pictures(count)), workers=workers)) == expected
    assert probabilities(classifier.predict_batch(pictures(count), workers=workers)) == expected


def test_an_image_that_cannot_be_read_gives_its_error(classifier: FractureClassifier) -> None:
    answers = classifier.predict_batch([b"text", pictures(1)[0], b"", pictures(1)[0]])
    assert [type(one) for one in answers] == [UnreadableImage, Prediction, UnreadableImage, Prediction]
    assert all(isinstance(one, Prediction) or (one.__traceback__ is None and one.__cause__ is None) for one in answers)
    with pytest.raises(UnreadableImage) as alone:
        classifier.predict(b"text")
    assert str(answers[0]) == str(alone.value)


def test_a_single_unreadable_image_gives_its_error(classifier: FractureClassifier) -> None:
    (answer,) = classifier.predict_stream([b"text"])
    assert isinstance(answer, ImageError)


def test_images_are_read_as_needed(classifier: FractureClassifier) -> None:
    """At most three images per worker are read ahead."""
    taken = 0

    def endless() -> Iterator[np.ndarray[Any, Any]]:
        nonlocal taken
        while True:
            taken += 1
            yield np.full((20, 20), 7, np.uint8)

    stream = classifier.predict_stream(endless(), workers=2)
    for answered in range(1, 50):
        next(stream)
        assert taken <= answered + 2 * 3
    assert isinstance(stream, Generator)
    stream.close()


def test_an_output_that_is_not_finite_ends_the_stream(save_model: Any, tiny: Any) -> None:
    with FractureClassifier(save_model(tiny.mean(bias=float("nan")))) as broken:
        with pytest.raises(ModelFileError, match="output is nan"):
            list(broken.predict_stream(pictures(9)))
        with pytest.raises(ModelFileError, match="output is nan"):
            broken.predict(pictures(1)[0])


def test_an_exception_of_the_iterable_is_raised(classifier: FractureClassifier) -> None:
    def interrupted() -> Iterator[np.ndarray[Any, Any]]:
        yield from pictures(5)
        raise KeyError("the camera is disconnected")

    with pytest.raises(KeyError, match="camera"):
        list(classifier.predict_stream(interrupted()))
    assert len(classifier.predict_batch(pictures(4))) == 4  # the classifier still works


@pytest.mark.parametrize("workers", [0, -1])
def test_fewer_than_one_worker_is_refused(classifier: FractureClassifier, workers: int) -> None:
    with pytest.raises(UsageError, match="workers"):
        classifier.predict_stream(pictures(3), workers=workers)


def test_threads_share_a_classifier(classifier: FractureClassifier) -> None:
    expected = probabilities(map(classifier.predict, pictures(256)))
    found: dict[int, float] = {}

    def score(start: int) -> None:
        for index in range(start, 256, 4):
            found[index] = classifier.predict(pictures(256)[index]).fracture_probability

    threads = [threading.Thread(target=score, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[index] for index in range(256)] == expected


def test_a_closed_classifier_ends_its_threads_and_refuses_to_score(tiny_model: Path) -> None:
    before = threading.active_count()
    with FractureClassifier(tiny_model) as classifier:
        classifier.predict_batch(pictures(20))
        assert threading.active_count() > before
    assert threading.active_count() == before
    with pytest.raises(UsageError, match="closed"):
        classifier.predict(pictures(1)[0])


def test_a_router_streams_as_it_predicts(tiny_router: Path) -> None:
    with Router(tiny_router) as router:
        expected = [router.predict(one).to_dict() for one in pictures(30)]
        found = [one.to_dict() for one in router.predict_stream(pictures(30)) if isinstance(one, Prediction)]
    for one in (*expected, *found):
        del one["milliseconds"]
    assert found == expected


def test_a_stream_reports_the_requested_delegate(tiny_model: Path) -> None:
    for delegate, applied in (("cpu", "none"), (None, "xnnpack")):
        with FractureClassifier(tiny_model, delegate=delegate) as classifier:
            for answer in classifier.predict_stream(pictures(9)):
                assert isinstance(answer, Prediction)
                assert (answer.delegation.requested, answer.delegation.applied) == (delegate, applied)
                assert answer.delegation == classifier.session.delegation


def test_a_stream_without_heatmaps_draws_none(classifier: FractureClassifier) -> None:
    answers = classifier.predict_batch([Image.new("L", (400, 300), 9)] * 3)
    assert all(isinstance(one, Prediction) and one.heatmap is None for one in answers)
