"""Many images side by side, in order and with bounded memory."""

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

_AHEAD = 2  # images that wait beside each one being scored: mostly names, as decoded pixels are dropped at once
_MOST = 8  # workers by default: each has an interpreter of its own
_PROCESSORS = {"none": "cpu", "xnnpack": None}  # what to ask for, to get the same again on the processor

PredictionOrError = Prediction | ImageError


class Scorer(ABC):
    """Scores images with one model file; any thread may call it.

    A with statement closes it.
    """

    session: InferenceSession  # of the model, or of the first one
    _pool: "_Pool | None" = None

    @abstractmethod
    def predict_with_image(self, image: ImageSource, heatmap: bool = False) -> tuple[Prediction, Image.Image]:
        """What `predict` answers, and the radiograph that it looked at: of mode "L", as it was decoded for it."""

    @abstractmethod
    def sessions(self) -> list[InferenceSession]:
        """The networks that an image goes through."""

    def predict(self, image: ImageSource, heatmap: bool = False) -> Prediction:
        """Score one image: a path, the bytes of a file, a Pillow image, or an array.

        Args:
            image: the radiograph.
            heatmap: whether to draw where the answer comes from, over the image as it was decoded.

        Raises:
            ImageError: the image cannot be read (see `read_radiograph`).
            ModelFileError: a network gives no finite number or, with `heatmap`, no activation map; or a stage
                of a router is damaged.
        """
        return self.predict_with_image(image, heatmap)[0]

    @abstractmethod
    def copy(self, threads: int, delegate: str | None) -> "Scorer":
        """Another one of the same model."""

    def predict_stream(
        self, images: Iterable[ImageSource], heatmap: bool = False, workers: int | None = None
    ) -> Iterator[PredictionOrError]:
        """Score many images: decoders and interpreters side by side, answers in order.

        Each worker has an interpreter of one thread, which is faster than all threads on one image:
        its decoder uses one core alone, and so do many operators of a small network. On an
        accelerator the workers share the one interpreter.

        Args:
            images: what `predict` takes; asked for as they are needed, three for each worker at most.
                One that waits for its next image, as a camera does, holds the last answers back; call
                `predict` for each of its images.
            heatmap: as of `predict`.
            workers: images scored at the same time; default, one for each core, at most 8.

        Yields:
            For each image its prediction, or the error that `predict` would raise for it.

        Raises:
            UsageError: fewer than one worker.

        Streams may run at once if they have the same number of workers; another number ends the one before.
        """
        if workers is not None and workers < 1:
            raise UsageError(f"workers is {workers}; give 1 or more")
        source = iter(images)
        first = list(islice(source, 2))
        if len(first) < 2:  # interpreters of their own would not be worth their start
            return (_answer(self, image, heatmap) for image in first)
        workers = workers or _cores()
        if self._pool is None or self._pool.workers != workers:
            self._close_pool()
            self._pool = _Pool(self._copy, workers)
        return self._pool.run(chain(first, source), heatmap)

    def predict_batch(
        self, images: Iterable[ImageSource], heatmap: bool = False, workers: int | None = None
    ) -> list[PredictionOrError]:
        """The answers of `predict_stream`, all at once."""
        return list(self.predict_stream(images, heatmap, workers))

    def close(self) -> None:
        """Give back threads, memory and device; nothing is scored after it."""
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
        if delegation.applied not in _PROCESSORS:
            return self
        copy = self.copy(1, _PROCESSORS[delegation.applied])
        copy.session.delegation = delegation  # with what was asked for, and why it came to this
        return copy


class _Pool:
    """Threads, each with a scorer of its own, made when its first image comes."""

    def __init__(self, make: Callable[[], Scorer], workers: int) -> None:
        self.workers, self._make, self._own = workers, make, threading.local()
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="osteolite")

    def run(self, images: Iterable[ImageSource], heatmap: bool) -> Iterator[PredictionOrError]:
        waiting: deque[Future[PredictionOrError]] = deque()
        try:
            for image in images:
                waiting.append(self._executor.submit(self._score, image, heatmap))
                while waiting and (len(waiting) >= self.workers * (1 + _AHEAD) or waiting[0].done()):
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
        return _answer(self._own.scorer, image, heatmap)


def _answer(scorer: Scorer, image: ImageSource, heatmap: bool) -> PredictionOrError:
    try:
        return scorer.predict(image, heatmap)
    except ImageError as error:
        return type(error)(str(error))  # without the frames it went through, which hold the image


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return max(1, min(_MOST, len(affinity(0)) if affinity else os.cpu_count() or 1))
