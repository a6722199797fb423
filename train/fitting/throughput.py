"""Throughput of the input pipeline, compared with a batch that is held in memory.

`python -m osteolite.train.fitting.throughput RECIPE` prints images per second of training steps on one batch
held in memory, of the same steps fed by the pipeline, and their ratio. The two are measured in turn.
"""

import json
import sys
import time
from typing import Any

import numpy as np

from ..keras import keras, tf
from ..networks.model import build_model, set_trainable
from ..recipe import Recipe, load_recipe
from .input_pipeline import Examples, to_tensor, training_batches, without_autotune
from .tasks import FractureTask

_ROUNDS, _STEPS = 5, 12


def measure(recipe: Recipe, rounds: int = _ROUNDS, steps: int = _STEPS) -> dict[str, Any]:
    """Train the recipe's last phase on random pixels, in turn from a ready tensor and from the pipeline.

    Args:
        recipe: network, augmentation and batch size. The network starts from random weights.
        rounds: number of measurements of each, after one warm-up round.
        steps: training steps in a round.

    Returns:
        Images per second in each round, and the median, lowest and highest ratio of pipeline to ready
        tensor within a round.
    """
    random, batch, spec = np.random.default_rng(0), recipe.training.batch, recipe.preprocessing
    pixels = random.integers(0, 256, (steps * batch, spec.height, spec.width), dtype=np.uint8)
    task = FractureTask(recipe.model.outputs)
    targets = task.encode(np.arange(len(pixels)) % 2)
    model = build_model(recipe, None, task.outputs)
    set_trainable(model, recipe.training.phases[-1], keep_norm=True)
    model.compile(keras.optimizers.AdamW(1e-4), task.loss())
    ready = tf.data.Dataset.from_tensors((to_tensor(pixels[:batch], spec), targets[:batch], np.ones(batch, np.float32)))
    examples = Examples(pixels, targets, np.ones(len(pixels), np.float32))
    fed = training_batches(examples, spec, recipe.augmentation, batch, lambda: random)
    speeds: dict[str, list[float]] = {"ready_tensor": [], "pipeline": []}
    for _ in range(rounds + 1):
        for name, dataset in (("ready_tensor", without_autotune(ready.repeat(steps))), ("pipeline", fed)):
            start = time.perf_counter()
            model.fit(dataset, epochs=1, verbose=0)
            speeds[name].append(len(pixels) / (time.perf_counter() - start))
    ratios = [p / r for p, r in zip(speeds["pipeline"][1:], speeds["ready_tensor"][1:], strict=True)]
    return {
        "recipe": recipe.name,
        "images_per_second": {name: [round(value, 2) for value in found[1:]] for name, found in speeds.items()},
        "ratio": {name: round(float(f(ratios)), 4) for name, f in (("median", np.median), ("low", min), ("high", max))},
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(load_recipe(sys.argv[1])), indent=2) + "\n")
