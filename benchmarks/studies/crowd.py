"""Load test of the page of `osteolite demo`: many users at once, each with radiographs of their own.

    python -m osteolite.benchmarks.studies.crowd IMAGES... [--people 20] [--seconds 120] [--think 2]
        [--model FILE] [--out DIR]

starts the page and does over HTTP what a browser does: upload an image and wait for the HTML of the prediction. Each
must contain the probability that `FractureClassifier` gives for that image, which detects a prediction that reached the
wrong user. Between two images a user pauses for a time with an exponential distribution of mean `think`. It writes
crowd.json:

{"schema": 1, "conditions", "model", "images", "people", "seconds", "think",
 "start_seconds": from the command until the page responds,
 "first_ms": from upload to prediction of the first image,
 "answers", "wrong": predictions with another image's probability, "failed": {reason: count},
 "milliseconds": {"p50", "p90", "p95", "p99", "max"} from upload to prediction, "peak_mb": of the server}
"""

import json
import socket
import subprocess
import sysconfig
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click
import httpx
import numpy as np

from osteolite.edge.commands.options import MODEL, MODEL_HELP
from osteolite.edge.errors import OsteoliteError, UsageError
from osteolite.edge.modelfile.shipped import shipped_model
from osteolite.edge.prediction.classifier import FractureClassifier
from osteolite.edge.silence import quiet_stderr

from ..options import run
from .record import opening, save
from .selection import select

_PATIENCE = 60.0  # seconds; time limit of a start or a prediction
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "max": 1.0}


@dataclass
class Tally:
    """The results of all users."""

    spent: list[float] = field(default_factory=list)  # milliseconds of each correct prediction
    wrong: int = 0
    failed: Counter[str] = field(default_factory=Counter)


class Person:
    """A user of the page, without a browser: sends the event that an upload triggers.

    Args:
        address: URL of the page.
        name: name of the session.
    """

    def __init__(self, address: str, name: str) -> None:
        self._api, self._name = f"{address}gradio_api", name
        self._http = httpx.Client(timeout=_PATIENCE, trust_env=False)
        config = self._http.get(f"{address}config").json()
        parts = {part["id"]: part for part in config["components"]}
        for event in config["dependencies"]:
            for source, kind in event["targets"]:
                if kind == "upload" and event["api_visibility"] == "private":
                    self._event, self._upload = event["id"], source
                    self._inputs = [(one, parts[one]["props"].get("value")) for one in event["inputs"]]
                    return
        raise OsteoliteError("the page has no upload with a prediction; start the page of this version")

    def ask(self, image: Path) -> str:
        """Upload an image; the HTML that the page shows.

        Raises:
            httpx.HTTPError: the server refuses the request or is gone.
            OsteoliteError: the page shows an error.
        """
        sent = self._http.post(f"{self._api}/upload", files={"files": (image.name, image.read_bytes())})
        (path,) = sent.raise_for_status().json()
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        data = [file if one == self._upload else value for one, value in self._inputs]
        call = {"data": data, "fn_index": self._event, "session_hash": self._name}
        self._http.post(f"{self._api}/queue/join", json=call).raise_for_status()
        with self._http.stream("GET", f"{self._api}/queue/data", params={"session_hash": self._name}) as stream:
            for line in filter(None, stream.iter_lines()):
                message = json.loads(line.removeprefix("data: "))
                if message["msg"] == "process_completed":
                    if not message["success"]:
                        raise OsteoliteError(str(message["output"].get("error"))[:200])
                    return json.dumps(message["output"]["data"])
        raise OsteoliteError("the stream ended without a prediction")


def crowd(address: str, expected: dict[Path, str], people: int, seconds: float, think: float) -> Tally:
    """Let several users upload images at the same time.

    Args:
        address: URL of the page.
        expected: the probability of each image, in the page's format.
        people: number of users, each with different images.
        seconds: duration, after which no user starts another image.
        think: mean seconds between a prediction and the next image.
    """
    tally, lock, end = Tally(), threading.Lock(), time.monotonic() + seconds
    images = list(expected)

    def visit(number: int) -> None:
        person, own, chance = Person(address, f"person{number}"), images[number::people], np.random.default_rng(number)
        while time.monotonic() < end:
            time.sleep(chance.exponential(think))
            image = own[chance.integers(len(own))]
            start = time.perf_counter()
            try:
                shown = person.ask(image)
            except (httpx.HTTPError, OsteoliteError) as error:
                with lock:
                    tally.failed[f"{type(error).__name__}: {error}"[:200]] += 1
                continue
            spent = 1e3 * (time.perf_counter() - start)
            with lock:
                if f"<b>{expected[image]}</b>" in shown:
                    tally.spent.append(spent)
                else:
                    tally.wrong += 1

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally


@contextmanager
def _page(model: str) -> Iterator[tuple[str, float, int]]:
    """Start a page: its URL, the seconds until it responded, and its process ID."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = str(Path(sysconfig.get_path("scripts"), "osteolite"))
    command = [program, "demo", "--model", model, "--port", str(port)]
    address, start = f"http://127.0.0.1:{port}/", time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not _answers(address):
            if process.poll() is not None or time.monotonic() - start > _PATIENCE:
                raise OsteoliteError("the page does not start; run `osteolite demo` to see why")
            time.sleep(0.02)
        yield address, time.monotonic() - start, process.pid
    finally:
        process.terminate()
        process.wait()


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _peak_mb(process: int) -> float | None:
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((round(int(line.split()[1]) / 1024, 1) for line in lines if line.startswith("VmHWM")), None)


def _expected(images: list[str], model: str) -> dict[Path, str]:
    """Images whose probabilities differ in the page's format, so that no two predictions look alike."""
    with quiet_stderr(), FractureClassifier(model) as classifier:
        found = {f"{classifier.predict(image).fracture_probability:.3f}": Path(image) for image in images}
    return {image: probability for probability, image in found.items()}


@click.command()
@click.argument("paths", metavar="IMAGES...", nargs=-1, required=True)
@click.option("--people", metavar="N", type=click.IntRange(1), default=20, show_default=True)
@click.option("--seconds", metavar="S", type=click.FloatRange(0, min_open=True), default=120.0, show_default=True)
@click.option(
    "--think", metavar="S", type=click.FloatRange(0), default=2.0, show_default=True, help="Mean pause; 0: none."
)
@click.option("--most", metavar="N", type=click.IntRange(1), default=200, show_default=True, help="Images to use.")
@click.option("--model", type=MODEL, metavar="FILE|NAME", help=MODEL_HELP)
@click.option("--out", metavar="DIR", help="Write crowd.json there instead of printing it.")
def main(
    paths: tuple[str, ...],
    people: int,
    seconds: float,
    think: float,
    most: int,
    model: str | None,
    out: str | None,
) -> None:
    """Put many users on the page of `osteolite demo` at once."""
    model = model or str(shipped_model())
    expected = _expected(select(paths, most=most), model)
    if len(expected) < people:
        raise UsageError(
            f"only {len(expected)} images have different predictions; give at least {people}, or fewer --people"
        )
    found = opening(model) | {"images": len(expected), "people": people, "seconds": seconds, "think": think}
    with _page(model) as (address, started, process):
        person, start = Person(address, "first"), time.perf_counter()
        person.ask(next(iter(expected)))
        found |= {"start_seconds": round(started, 2), "first_ms": round(1e3 * (time.perf_counter() - start), 1)}
        tally = crowd(address, expected, people, seconds, think)
        found |= {"answers": len(tally.spent), "wrong": tally.wrong, "failed": dict(tally.failed)}
        found["milliseconds"] = {
            name: round(float(np.quantile(tally.spent, share)), 1) if tally.spent else None
            for name, share in _QUANTILES.items()
        }
        found["peak_mb"] = _peak_mb(process)
    save(found, out, "crowd.json")


if __name__ == "__main__":
    run(main)
