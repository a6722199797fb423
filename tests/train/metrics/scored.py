"""Labels and scores of a classifier whose scores are true probabilities."""

import numpy as np

from osteolite.train.metrics.probability_calibration import probabilities

Scored = tuple[np.ndarray, np.ndarray]


def scored(count: int = 400, seed: int = 0) -> Scored:
    """Return labels and scores where P(fractured) = score; the scores are rounded, so that some are equal."""
    random = np.random.default_rng(seed)
    scores = np.round(probabilities(random.normal(-1, 2, count), 1, 0), 2)
    labels = (random.random(count) < scores).astype(int)
    labels[:2] = 0, 1
    return labels, scores
