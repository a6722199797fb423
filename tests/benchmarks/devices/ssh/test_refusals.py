"""Machines and arguments that are refused in one line, before much is sent."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from osteolite.benchmarks.devices import ssh
from osteolite.edge.errors import DeviceError, InputError, UsageError

from .calls import gone, plan_of, refused, ssh_clients
from .sshd import Sshd


@pytest.fixture
def small_disk(there: Path) -> Iterator[Callable[[str], None]]:
    """Mount a separate file system with these options on the other machine's temporary folder."""

    def mount(options: str) -> None:
        if os.geteuid() != 0 or not sys.platform.startswith("linux"):
            pytest.skip("only root may mount a small file system on Linux")
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(there)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")

    yield mount
    if os.path.ismount(there):
        subprocess.run(["umount", "--lazy", str(there)], check=True)


def test_a_missing_python_is_reported(sshd: Sshd, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ssh.PYTHON, "/nowhere/python3")
    message = refused(plan_of(tiny_model), sshd.url())
    assert "cannot start /nowhere/python3 there" in message
    assert "install Python 3.11" in message


def test_an_old_python_is_refused(sshd: Sshd, tiny_model: Path, set_python: Callable[[str], None]) -> None:
    set_python("echo '[3, 9, 2]'\ncat > /dev/null\n")
    assert "is Python 3.9.2, 3.11 or newer is needed" in refused(plan_of(tiny_model), sshd.url())


@pytest.mark.parametrize(
    ("packages", "missing"),
    [((), "numpy and pillow and ai-edge-litert"), (("numpy", "numpy.libs", "PIL", "pillow.libs"), "ai-edge-litert")],
)
def test_missing_packages_are_named(
    sshd: Sshd, there: Path, board: Callable[..., Path], tiny_model: Path, packages: tuple[str, ...], missing: str
) -> None:
    python = board(*packages)
    messages: list[str] = []
    with pytest.raises(DeviceError) as caught:
        ssh.measure(plan_of(tiny_model), sshd.url(), messages.append)
    assert f"{python} lacks {missing}; run `{python} -m pip install" in str(caught.value)
    assert not any("MB" in text for text in messages), "nothing was sent"
    assert gone(there)


def test_a_broken_package_is_reported(sshd: Sshd, there: Path, board: Callable[..., Path], tiny_model: Path) -> None:
    python = board("PIL", "pillow.libs", "ai_edge_litert")
    (installed,) = python.parents[1].glob("lib/python*/site-packages")
    (installed / "numpy.py").write_text("raise ImportError('libopenblas.so.0:\\n\\n cannot open')\n")
    assert "ImportError: libopenblas.so.0: cannot open" in refused(plan_of(tiny_model), sshd.url())
    assert gone(there)


def test_an_unknown_host_is_reported(sshd: Sshd, tiny_model: Path) -> None:
    message = refused(plan_of(tiny_model), "ssh://nobody.invalid")
    assert "nobody.invalid cannot be reached" in message
    assert "resolve" in message


def test_a_closed_port_is_reported(sshd: Sshd, tiny_model: Path) -> None:
    message = refused(plan_of(tiny_model), "ssh://127.0.0.1:1")
    assert "Connection refused" in message
    assert "`ssh -p 1 127.0.0.1 true` must work" in message


def test_a_rejected_key_is_reported(sshd: Sshd, tiny_model: Path) -> None:
    sshd.config.write_text(sshd.config.read_text().replace("/client", "/stranger"))
    assert "Permission denied (publickey)" in refused(plan_of(tiny_model), sshd.url())


def test_an_unknown_host_key_is_reported(sshd: Sshd, tiny_model: Path) -> None:
    sshd.config.write_text(sshd.config.read_text().replace("HostKeyAlias there", "HostKeyAlias another"))
    assert "Host key verification failed" in refused(plan_of(tiny_model), sshd.url())


@pytest.mark.parametrize(
    "name",
    [
        "ssh://",
        "ssh://-oProxyCommand=true",
        "ssh://-l@board",
        "ssh://a b",
        "ssh://board:0",
        "ssh://board:70000",
        "ssh://board:port",
        "ssh://board/folder",
        "ssh://$(true)",
        "ssh:board",
    ],
)
def test_malformed_names_are_refused(name: str, tiny_model: Path) -> None:
    assert "ssh://[USER@]HOST[:PORT]" in refused(plan_of(tiny_model), name, UsageError)


def test_a_malformed_name_is_reported_without_its_password(tiny_model: Path) -> None:
    assert "secret" not in refused(plan_of(tiny_model), "ssh://me:secret@board:port", UsageError)


def test_a_missing_ssh_client_is_reported(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "install OpenSSH" in refused(plan_of(tiny_model), "ssh://board", UsageError)


def test_a_missing_file_is_reported(sshd: Sshd, tmp_path: Path) -> None:
    assert "nothing.tflite cannot be read" in refused(plan_of(tmp_path / "nothing.tflite"), sshd.url(), InputError)


def test_a_file_that_grows_during_the_transfer_is_reported(sshd: Sshd, there: Path, tmp_path: Path) -> None:
    file = tmp_path / "growing.tflite"
    file.write_bytes(b"model")

    def grow(text: str) -> None:
        if "MB" in text:
            file.write_bytes(b"model that has grown")

    with pytest.raises(InputError, match=r"growing\.tflite changed while it was sent"):
        ssh.measure(plan_of(file), sshd.url(), grow)
    assert not ssh_clients()
    assert gone(there)


def test_a_small_disk_is_refused_before_anything_is_sent(
    sshd: Sshd, there: Path, tiny_model: Path, small_disk: Callable[[str], None]
) -> None:
    small_disk("size=4m")
    messages: list[str] = []
    with pytest.raises(DeviceError, match=rf"{there} has \d\.\d MB free there, \d+\.\d MB are needed"):
        ssh.measure(plan_of(tiny_model), sshd.url(), messages.append)
    assert not any("MB" in text for text in messages)
    assert gone(there)


def test_a_disk_that_fills_up_is_reported(
    sshd: Sshd, there: Path, tiny_model: Path, tmp_path: Path, small_disk: Callable[[str], None]
) -> None:
    """Free space is not enough: this file system has space, but too few inodes."""
    small_disk("size=1g,nr_inodes=40")
    large = tmp_path / "large.tflite"
    large.write_bytes(bytes(8_000_000))  # still being sent after the other side has given up
    message = refused(plan_of(tiny_model, large), sshd.url())
    assert "cannot write" in message and "there (No space left on device; " in message
    assert "MB free" in message
    assert gone(there)
