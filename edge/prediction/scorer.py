"""Score many images in parallel, in order and with bounded memory."""

import os
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from types import TracebackType
from typing import Self

from PIL import Image

from ..errors import ImageError, UsageError
from ..imaging.radiograph import ImageSource
from ..inference.session import InferenceSession
from .prediction import Prediction

_QUEUED_PER_WORKER = 2  # images that wait for each worker: mostly paths, as pixels are decoded by the worker
_MAX_WORKERS = 8  # by default: each has an interpreter of its own
_ON_CPU = {"none": "cpu", "xnnpack": None}  # applied delegate: what a copy requests to run on the same one

PredictionOrError = Prediction | ImageError


class Scorer(ABC):
    """Base class of what scores images with a model file.

    Threads may share a scorer. Close it with `close` or a `with` statement.
    """

    session: InferenceSession  # of the model, or of a router's body-part network
    _pool: "_Pool | None" = None

    @abstractmethod
    def predict_with_image(self, image: ImageSource, heatmap: bool = False) -> tuple[Prediction, Image.Image]:
        """Score one image, as `predict` does, and return the decoded radiograph, of mode "L", as well."""

    @abstractmethod
    def sessions(self) -> list[InferenceSession]:
        """Return the sessions that an image uses, in order."""

    def predict(self, image: ImageSource, heatmap: bool = False) -> Prediction:
        """Score one image: a path, the bytes of a file, a Pillow image, or an array.

        Args:
            image: the radiograph.
            heatmap: whether to draw the activation map over the decoded image.

        Raises:
            ImageError: the image cannot be read (see `read_radiograph`).
            ModelFileError: the output is not finite, there is no activation map for `heatmap`, or a stage of a router
                is damaged.
        """
        return self.predict_with_image(image, heatmap)[0]

    @abstractmethod
    def copy(self, threads: int, delegate: str | None) -> "Scorer":
        """Open the same model once more."""

    def predict_stream(
        self, images: Iterable[ImageSource], heatmap: bool = False, workers: int | None = None
    ) -> Iterator[PredictionOrError]:
        """Score many images in parallel.

        Each worker has an interpreter with one thread, which is faster than all threads on one image: the decoder and
        many operators of a small network use a single core. On an accelerator, the workers share one interpreter.

        Streams with the same number of workers may run at the same time. A stream with another number ends the
        earlier one.

        Args:
            images: images as for `predict`; the iterable is read as needed, at most three images per worker ahead. An
                iterable that waits for its next image, such as a camera, delays the last results: call `predict` for
                each of its images instead.
            heatmap: see `predict`.
            workers: number of images scored at the same time; default, one per core, at most 8.

        Yields:
            In the order of `images`, the prediction, or the error that `predict` would raise.

        Raises:
            UsageError: fewer than one worker.
        """
        if workers is not None and workers < 1:
            raise UsageError(f"workers is {workers}; it must be 1 or more")
        source = iter(images)
        first = list(islice(source, 2))
        if len(first) < 2:  # starting workers would take longer than one image
            return (_predict_or_error(self, image, heatmap) for image in first)
        workers = workers or _cores()
        if self._pool is None or self._pool.workers != workers:
            self._close_pool()
            self._pool = _Pool(self._copy, workers)
        return self._pool.run(chain(first, source), heatmap)

    def predict_batch(
        self, images: Iterable[ImageSource], heatmap: bool = False, workers: int | None = None
    ) -> list[PredictionOrError]:
        """Return the results of `predict_stream` as a list."""
        return list(self.predict_stream(images, heatmap, workers))

    def close(self) -> None:
        """Release threads, memory and devices. The scorer cannot score afterwards."""
        self._close_pool()
        self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _close_pool(self) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def _copy(self) -> "Scorer":
        delegation = self.session.delegation
        if delegation.applied not in _ON_CPU:
            return self
        copy = self.copy(1, _ON_CPU[delegation.applied])
        copy.session.delegation = delegation  # so that predictions name the delegate that the user requested
        return copy


class _Pool:
    """Worker threads, each with a scorer of its own, which is opened for its first image."""

    def __init__(self, make: Callable[[], Scorer], workers: int) -> None:
        self.workers, self._make, self._own = workers, make, threading.local()
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="osteolite")

    def run(self, images: Iterable[ImageSource], heatmap: bool) -> Iterator[PredictionOrError]:
        waiting: deque[Future[PredictionOrError]] = deque()
        try:
            for image in images:
                waiting.append(self._executor.submit(self._score, image, heatmap))
                while waiting and (len(waiting) >= self.workers * (1 + _QUEUED_PER_WORKER) or waiting[0].done()):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def close(self) -> None:
        self._executor.shutdown(cancel_futures=True)

    def _score(self, image: ImageSource, heatmap: bool) -> PredictionOrError:
        if not hasattr(self._own, "scorer"):
            self._own.scorer = self._make()
        return _predict_or_error(self._own.scorer, image, heatmap)


def _predict_or_error(scorer: Scorer, image: ImageSource, heatmap: bool) -> PredictionOrError:
    try:
        return scorer.predict(image, heatmap)
    except ImageError as error:
        return type(error)(str(error))  # a new one, without the traceback that keeps the image in memory


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return max(1, min(_MAX_WORKERS, len(affinity(0)) if affinity else os.cpu_count() or 1))
