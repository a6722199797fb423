import threading
from collections.abc import Iterator
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


def pictures(count: int) -> list[np.ndarray]:
    """Their probabilities all differ, so that a swap shows."""
    return [np.full((20, 20), index % 256, np.uint8) for index in range(count)]


def chances(answers: Any) -> list[float]:
    return [one.fracture_probability for one in answers]


@pytest.mark.parametrize("workers", [None, 1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 100])
def test_the_answers_are_those_of_predict_in_order(
    classifier: FractureClassifier, count: int, workers: int | None
) -> None:
    expected = chances(map(classifier.predict, pictures(count)))
    assert chances(classifier.predict_stream(iter(pictures(count)), workers=workers)) == expected
    assert chances(classifier.predict_batch(pictures(count), workers=workers)) == expected


def test_an_image_that_cannot_be_read_is_answered_with_its_error(classifier: FractureClassifier) -> None:
    answers = classifier.predict_batch([b"text", pictures(1)[0], b"", pictures(1)[0]])
    assert [type(one) for one in answers] == [UnreadableImage, Prediction, UnreadableImage, Prediction]
    assert all(isinstance(one, Prediction) or (one.__traceback__ is None and one.__cause__ is None) for one in answers)
    with pytest.raises(UnreadableImage) as alone:
        classifier.predict(b"text")
    assert str(answers[0]) == str(alone.value)


def test_one_image_alone_may_be_bad_too(classifier: FractureClassifier) -> None:
    (answer,) = classifier.predict_stream([b"text"])
    assert isinstance(answer, ImageError)


def test_images_are_asked_for_as_they_are_needed(classifier: FractureClassifier) -> None:
    """After the first answer no more are taken than wait beside two workers, however many there are."""
    taken = 0

    def endless() -> Iterator[np.ndarray]:
        nonlocal taken
        while True:
            taken += 1
            yield np.full((20, 20), 7, np.uint8)

    stream = classifier.predict_stream(endless(), workers=2)
    for answered in range(1, 50):
        next(stream)
        assert taken <= answered + 2 * 3
    stream.close()  # type: ignore[attr-defined]


def test_a_model_without_an_answer_ends_the_stream(save_model: Any, tiny: Any) -> None:
    with FractureClassifier(save_model(tiny.mean(bias=float("nan")))) as broken:
        with pytest.raises(ModelFileError, match="output is nan"):
            list(broken.predict_stream(pictures(9)))
        with pytest.raises(ModelFileError, match="output is nan"):
            broken.predict(pictures(1)[0])


def test_what_the_images_raise_comes_through(classifier: FractureClassifier) -> None:
    def torn() -> Iterator[np.ndarray]:
        yield from pictures(5)
        raise KeyError("the camera is gone")

    with pytest.raises(KeyError, match="camera"):
        list(classifier.predict_stream(torn()))
    assert len(classifier.predict_batch(pictures(4))) == 4  # and it still works


@pytest.mark.parametrize("workers", [0, -1])
def test_there_is_no_stream_without_workers(classifier: FractureClassifier, workers: int) -> None:
    with pytest.raises(UsageError, match="workers"):
        classifier.predict_stream(pictures(3), workers=workers)


def test_threads_may_share_it(classifier: FractureClassifier) -> None:
    expected, found = chances(map(classifier.predict, pictures(256))), {}

    def score(start: int) -> None:
        for index in range(start, 256, 4):
            found[index] = classifier.predict(pictures(256)[index]).fracture_probability

    threads = [threading.Thread(target=score, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[index] for index in range(256)] == expected


def test_after_the_end_of_its_block_nothing_is_scored(tiny_model: Path) -> None:
    before = threading.active_count()
    with FractureClassifier(tiny_model) as classifier:
        classifier.predict_batch(pictures(20))
        assert threading.active_count() > before
    assert threading.active_count() == before
    with pytest.raises(UsageError, match="closed"):
        classifier.predict(pictures(1)[0])


def test_a_router_streams_too(tiny_router: Path) -> None:
    with Router(tiny_router) as router:
        expected = [router.predict(one).to_dict() for one in pictures(30)]
        found = [one.to_dict() for one in router.predict_stream(pictures(30)) if isinstance(one, Prediction)]
    for one in (*expected, *found):
        del one["milliseconds"]
    assert found == expected


def test_the_stream_says_what_was_asked_for(tiny_model: Path) -> None:
    for delegate, applied in (("cpu", "none"), (None, "xnnpack")):
        with FractureClassifier(tiny_model, delegate=delegate) as classifier:
            for answer in classifier.predict_stream(pictures(9)):
                assert isinstance(answer, Prediction)
                assert (answer.delegation.requested, answer.delegation.applied) == (delegate, applied)
                assert answer.delegation == classifier.session.delegation


def test_a_radiograph_in_full_is_not_kept(classifier: FractureClassifier) -> None:
    answers = classifier.predict_batch([Image.new("L", (400, 300), 9)] * 3)
    assert all(isinstance(one, Prediction) and one.heatmap is None for one in answers)
