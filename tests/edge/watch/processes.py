"""Run `osteolite watch` in processes, and read its results."""

import io
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

SCRIPT = Path(sys.executable).with_name("osteolite")
Start = Callable[..., "subprocess.Popen[bytes]"]
Key = tuple[str, int, int]
LABELS = {255: "fractured", 0: "normal"}  # label that the tiny model gives an image of one grey level


def png(level: int, size: int = 40) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (size, size), level).save(stream, "PNG")
    return stream.getvalue()


def key_of(folder: Path, path: Path) -> Key:
    status = path.stat()
    return str(path.relative_to(folder)), status.st_size, status.st_mtime_ns


def lines_of(out: Path) -> list[dict[str, Any]]:
    content = out.read_bytes() if out.exists() else b""
    return [json.loads(line) for line in content.splitlines(keepends=True) if line.endswith(b"\n")]


def keys_of(out: Path) -> Counter[Key]:
    return Counter((line["file"], line["bytes"], line["modified_ns"]) for line in lines_of(out))


def wait_until(condition: Callable[[], object], process: "subprocess.Popen[bytes] | None" = None) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)


def stop(process: "subprocess.Popen[bytes]", number: int = signal.SIGTERM) -> str:
    """Stop a watch, check that it ends as it should, and return its standard error."""
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (0, b"")
    return stderr.decode()
