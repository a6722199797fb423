"""Time the models that ship against MobileNetV2, which most classifiers on phones are based on, at one thread.

    python -m osteolite.benchmarks.studies.family [--model FILE|NAME ...] [--rounds 40] [--out DIR]

writes family.json:

{"schema": 1, "conditions", "reference": name of the reference, "threads": 1, "rounds",
 "models": {name: {"file", "bytes", "input": [height, width, channels], "p50", "p90" of an invocation in
                   milliseconds, "times_as_fast": speed relative to the reference, median of the pairs, with a 95 %
                   interval}}}

The reference is MobileNetV2 with width 1.0 for 224 x 224 colour pixels and one output, in int8 with float32 input and
output, as TensorFlow's converter makes it. Its weights are random, because the time does not depend on them. Building
it needs TensorFlow.
"""

import os
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import click
import numpy as np

from osteolite.edge.commands.options import MODEL
from osteolite.edge.inference.opening import open_session
from osteolite.edge.inference.session import InferenceSession
from osteolite.edge.modelfile.shipped import SHIPPED, shipped_model
from osteolite.edge.silence import quiet_stderr

from ..harness.conditions import machine
from ..options import run
from .record import SCHEMA, save
from .turns import interleaved, paired, times

REFERENCE = "MobileNetV2 1.0/224 int8"
_SIDE = 224
_IN_A_ROW = 10  # invocations per turn; a single one would mostly measure cold caches


def reference() -> bytes:
    """Build the reference network; its flatbuffer."""
    import tensorflow as tf

    network = tf.keras.applications.MobileNetV2((_SIDE, _SIDE, 3), include_top=False, weights=None, pooling="avg")
    whole = tf.keras.Model(network.input, tf.keras.layers.Dense(1)(network.output))
    random = np.random.default_rng(0)
    converter = tf.lite.TFLiteConverter.from_keras_model(whole)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [random.uniform(-1, 1, (1, _SIDE, _SIDE, 3)).astype(np.float32)] for _ in range(4)
    )
    with warnings.catch_warnings(), quiet_stderr(), redirect_stdout(StringIO()):  # the converter prints every variable
        warnings.simplefilter("ignore")  # about statistics that it ignores in favour of the representative images
        flatbuffer: bytes = converter.convert()
    return flatbuffer


def measure_family(models: dict[str, str], compared_with: bytes, rounds: int) -> dict[str, Any]:
    """Time the models in turns.

    Args:
        models: file paths by name.
        compared_with: flatbuffer of the reference.
        rounds: number of turns of each model.

    Returns:
        The "models" that the module describes, including the reference.
    """
    with quiet_stderr():
        sessions = {
            REFERENCE: open_session(compared_with, 1),
            **{name: open_session(file, 1) for name, file in models.items()},
        }
    spent = interleaved({name: _repeated(one) for name, one in sessions.items()}, [None], rounds)
    sizes = {REFERENCE: len(compared_with), **{name: os.path.getsize(file) for name, file in models.items()}}
    return {
        name: {
            "file": Path(models[name]).name if name in models else None,
            "bytes": sizes[name],
            "input": list(one.input_shape[1:]),
            **times(spent[name] / _IN_A_ROW),
            "times_as_fast": paired(spent[REFERENCE] / spent[name]),
        }
        for name, one in sessions.items()
    }


def _repeated(session: InferenceSession) -> Callable[[None], None]:
    tensor = np.zeros(session.input_shape, np.float32)

    def call(_: None) -> None:
        for _turn in range(_IN_A_ROW):
            session.run(tensor)

    return call


@click.command()
@click.option(
    "--model", "models", type=MODEL, metavar="FILE|NAME", multiple=True, help="May be repeated; default, all that ship."
)
@click.option("--rounds", metavar="N", type=click.IntRange(2), default=40, show_default=True)
@click.option("--out", metavar="DIR", help="Write family.json there instead of printing it.")
def main(models: tuple[str, ...], rounds: int, out: str | None) -> None:
    """Time the models that ship, or those given, against an int8 MobileNetV2 1.0 at 224 pixels."""
    chosen = {Path(one).stem: one for one in models} or {name: str(shipped_model(name)) for name in SHIPPED}
    found = measure_family(chosen, reference(), rounds)
    for name, one in found.items():
        ratio = "{median:.2f} ({low:.2f} to {high:.2f})".format(**one["times_as_fast"])
        click.echo(f"{name:<28} {one['p50']:7.2f} ms  {one['bytes'] / 1e6:5.2f} MB  {ratio} times as fast", err=True)
    about = {"schema": SCHEMA, "conditions": machine(), "reference": REFERENCE, "threads": 1, "rounds": rounds}
    save({**about, "models": found}, out, "family.json")


if __name__ == "__main__":
    run(main)
