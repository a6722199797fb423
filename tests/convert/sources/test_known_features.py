"""The features of known radiographs, and the out-of-distribution limit of released files."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osteolite.convert.sources.known_features import varied
from osteolite.edge import FractureClassifier, Prediction, read_description
from osteolite.edge.modelfile.description import ModelDescription
from osteolite.train.runs.run_folder import Run


@given(st.integers(2, 60), st.integers(2, 60), st.integers(0, 99))
def test_a_varied_copy_keeps_size_and_black(height: int, width: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (height, width), np.uint8)
    changed = varied(pixels, random)
    assert (changed.shape, changed.dtype) == (pixels.shape, pixels.dtype)
    assert (varied(np.zeros_like(pixels), random) == 0).all()


@pytest.mark.slow
def test_each_released_file_flags_noise_and_few_radiographs(phantom_run: Path) -> None:
    run = Run.open(phantom_run)
    known = [str(run.catalogue.path(row)) for row in run.catalogue.in_split("test")]
    noise = np.random.default_rng(0).integers(0, 256, (300, 250), np.uint8)
    files = sorted((phantom_run / "models").glob("*.tflite"))
    assert len(files) >= 2
    for file in files:
        description = read_description(file)
        assert isinstance(description, ModelDescription)
        assert description.out_of_distribution is not None
        with FractureClassifier(file) as classifier:
            assert list(classifier.predict(noise).warnings) == ["unfamiliar"]
            answers = classifier.predict_batch(known)
        flagged = [bool(answer.warnings) for answer in answers if isinstance(answer, Prediction)]
        assert len(flagged) == len(known)
        assert np.mean(flagged) <= 0.15
