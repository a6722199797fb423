"""docs/demo.md: its example runs, and its limits are those of the program."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from osteolite.demo.page import page
from osteolite.demo.service import batch, uploads
from osteolite.demo.service.examples import MAX_EXAMPLES
from osteolite.demo.service.model_set import LIMITS
from osteolite.edge.prediction.classifier import FractureClassifier

TEXT = (Path(__file__).parents[2] / "docs" / "demo.md").read_text(encoding="utf-8")
WORDS = " ".join(TEXT.split())


def test_api_example_runs(run_demo: Any, tiny_model: Path, tmp_path: Path, encode: Callable[..., bytes]) -> None:
    [program] = re.findall(r"^```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    image = encode(Image.linear_gradient("L"), "PNG")
    (tmp_path / "xray.png").write_bytes(image)
    with run_demo(tmp_path, "--model", tiny_model) as server:
        assert "http://127.0.0.1:7860/" in program
        program = program.replace("http://127.0.0.1:7860/", server.url)
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    label, probability, threshold, *_ = done.stdout.split()
    expected = FractureClassifier(tiny_model).predict(image).to_dict()
    assert label == expected["label"]
    assert (float(probability), float(threshold)) == (expected["fracture_probability"], expected["threshold"])


def test_limits_are_those_of_the_program() -> None:
    assert f"at most {LIMITS.max_bytes // 1024**2} MiB and {LIMITS.max_pixels // 10**6} million pixels" in WORDS
    assert f"{LIMITS.max_seconds:.0f} seconds to decode" in WORDS
    assert f"{batch.MAX_IMAGES} images and {batch.MAX_BYTES // 1024**2} MiB in all" in WORDS
    assert f"up to {page.QUEUE_SIZE} requests wait" in WORDS
    assert f"within {uploads.FILE_SECONDS // 60} minutes" in WORDS
    assert f"in memory for {uploads.MEMORY_SECONDS // 60} minutes" in WORDS
    assert f"first {MAX_EXAMPLES} readable images" in WORDS
