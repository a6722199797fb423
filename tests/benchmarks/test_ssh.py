import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from osteolite.benchmarks.devices import ssh
from osteolite.benchmarks.lanes import Measured, Plan
from osteolite.edge import FractureClassifier
from osteolite.edge.errors import DeviceError, InputError, UsageError

from .sshd import Sshd, Unavailable, children, processes_with, running

# What a board has that runs the edge package: all that may be imported there beside Python's own library.
BOARD_PACKAGES = ("numpy", "numpy.libs", "PIL", "pillow.libs", "ai_edge_litert", "flatbuffers", "backports")
PATIENCE = 30.0  # seconds for what ends by itself


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """The temporary folder of the other machine."""
    folder = tmp_path / "there"
    folder.mkdir()
    return folder


@pytest.fixture
def sshd(tmp_path: Path, there: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    folder = tmp_path / "sshd"
    folder.mkdir()
    try:
        with running(folder, {"TMPDIR": str(there)}) as server:
            monkeypatch.setenv("PATH", f"{server.programs}{os.pathsep}{os.environ['PATH']}")
            monkeypatch.setenv(ssh.PYTHON, sys.executable)
            yield server
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A Python that has these packages alone, as the other machine's."""

    def make(*packages: str) -> Path:
        folder = tmp_path / "board"
        command = [sys.executable, "-m", "venv", "--without-pip", "--symlinks", str(folder)]
        subprocess.run(command, check=True, timeout=120)
        (target,) = folder.glob("lib/python*/site-packages")
        source = Path(np.__file__).parents[1]
        for name in packages:
            (target / name).symlink_to(source / name)
        monkeypatch.setenv(ssh.PYTHON, str(folder / "bin" / "python"))
        return folder / "bin" / "python"

    return make


def plan_of(*files: Path, **values: object) -> Plan:
    plan = {"threads": (1,), "launches": 1, **values}
    return Plan(tuple(map(str, files)), **plan)  # type: ignore[arg-type]


def quiet(_: str) -> None:
    pass


def gone(folder: Path) -> bool:
    """Nothing is left in the folder, and no process that was started for it lives."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if not any(folder.iterdir()) and not processes_with(f"PYTHONPATH={folder}/osteolite-"):
            return True
        time.sleep(0.05)
    return False


def ssh_clients() -> list[int]:
    return [
        pid
        for pid in children(os.getpid())
        if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].endswith(b"ssh")
    ]


@pytest.fixture
def images(tmp_path: Path) -> tuple[tuple[str, int], ...]:
    """Two files of one name in two folders, one of them in letters of another language, that differ in answer."""
    found = []
    for folder, level, label in (("fractured ä", 250, 1), ("normal", 5, 0)):
        (tmp_path / folder).mkdir()
        Image.new("L", (40, 40), level).save(tmp_path / folder / "hand ü.png")
        found.append((str(tmp_path / folder / "hand ü.png"), label))
    return tuple(found)


def test_files_and_images_are_measured_on_the_other_machine(
    sshd: Sshd, there: Path, tiny_model: Path, tiny_int8_model: Path, images: tuple[tuple[str, int], ...]
) -> None:
    told: list[str] = []
    here = {str(path) for path in there.parent.rglob("*")}
    measured = ssh.measure(plan_of(tiny_model, tiny_int8_model, images=images), sshd.url(), told.append)
    assert measured.device == sshd.url()
    assert [(lane.file, lane.variant, lane.error) for lane in measured.lanes] == [
        ("tiny_float32.tflite", "float32", ""),
        ("tiny_int8.tflite", "int8", ""),
    ]
    assert measured.labels == [1, 0]
    classifier = FractureClassifier(tiny_model)
    answers = [classifier.predict(path).fracture_probability for path, _ in images]
    assert measured.lanes[0].probabilities == pytest.approx(answers, abs=1e-6)
    assert all(lane.launches[0].invoke and lane.bytes for lane in measured.lanes)
    assert measured.conditions["cores"] == os.cpu_count()
    assert any("MB" in text for text in told)
    assert told[0] == "connecting to 127.0.0.1"
    assert any(text.startswith("launch 1") for text in told), "what the other machine tells is passed on"
    assert gone(there)
    assert {str(path) for path in there.parent.rglob("*")} == here
    assert not ssh_clients()


def test_a_board_with_the_edge_packages_alone_will_do(
    sshd: Sshd, there: Path, board: Callable[..., Path], tiny_model: Path
) -> None:
    """No Osteolite is there, and neither click nor scikit-learn; the code comes from here, and so its version."""
    python = board(*BOARD_PACKAGES, "typing_extensions.py", "tqdm")
    with_click = subprocess.run([str(python), "-c", "import click"], stderr=subprocess.DEVNULL, check=False)
    assert with_click.returncode != 0
    measured = ssh.measure(plan_of(tiny_model), sshd.url(), quiet)
    assert measured.lanes[0].error == ""
    assert measured.conditions["osteolite"]
    assert gone(there)


def test_an_osteolite_that_is_installed_there_stays_out(
    sshd: Sshd, board: Callable[..., Path], tiny_model: Path
) -> None:
    """Even a package of that name with a file of its own, which Python prefers to a namespace."""
    python = board(*BOARD_PACKAGES, "typing_extensions.py", "tqdm")
    (installed,) = python.parents[1].glob("lib/python*/site-packages")
    for name in ("", "edge", "benchmarks"):
        (installed / "osteolite" / name).mkdir(parents=True, exist_ok=True)
        (installed / "osteolite" / name / "__init__.py").write_text("raise SystemExit('the wrong one')\n")
    assert ssh.measure(plan_of(tiny_model), sshd.url(), quiet).lanes[0].error == ""


def test_files_of_one_name_do_not_collide(sshd: Sshd, tiny_model: Path, tiny_int8_model: Path, tmp_path: Path) -> None:
    files = []
    for source in (tiny_model, tiny_int8_model):
        (tmp_path / source.stem).mkdir()
        files.append(tmp_path / source.stem / "model.tflite")
        shutil.copy(source, files[-1])
    measured = ssh.measure(plan_of(*files), sshd.url(), quiet)
    assert [lane.file for lane in measured.lanes] == ["model.tflite"] * 2
    assert [lane.variant for lane in measured.lanes] == ["float32", "int8"]


def test_the_users_ssh_configuration_applies(sshd: Sshd, tiny_model: Path) -> None:
    measured = ssh.measure(plan_of(tiny_model), "ssh://board", quiet)
    assert measured.device == "ssh://board"
    assert measured.lanes[0].launches


def test_a_password_in_the_name_is_told_to_nobody(sshd: Sshd, tiny_model: Path) -> None:
    told: list[str] = []
    name = sshd.url().replace("@", ":secret@")
    measured = ssh.measure(plan_of(tiny_model), name, told.append)
    assert measured.device == sshd.url()
    assert "secret" not in json.dumps(measured.to_dict()) + "".join(told)


def test_errors_name_the_file_that_is_here(sshd: Sshd, tmp_path: Path) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model")
    measured = ssh.measure(plan_of(broken), sshd.url(), quiet)
    assert str(broken) in measured.lanes[0].error


def test_what_the_shell_there_prints_is_no_answer(
    sshd: Sshd, tmp_path: Path, tiny_model: Path, set_python: Callable[[str], None]
) -> None:
    set_python(f'echo "Welcome to the board"\necho \'{{"a": 1}}\'\nexec {sys.executable} "$@"\n')
    assert ssh.measure(plan_of(tiny_model), sshd.url(), quiet).lanes[0].launches


@pytest.fixture
def set_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make a shell script the other machine's Python; its path has a blank and a quote in it."""

    def make(script: str) -> None:
        program = tmp_path / "a python's"
        program.write_text(f"#!/bin/sh\n{script}")
        program.chmod(0o755)
        monkeypatch.setenv(ssh.PYTHON, f'"{program}"')

    return make


def refused(plan: Plan, name: str, kind: type[Exception] = DeviceError) -> str:
    """What a measurement fails with: one line."""
    with pytest.raises(kind) as caught:
        ssh.measure(plan, name, quiet)
    message = str(caught.value)
    assert message.isprintable()
    assert not ssh_clients()
    return message


def test_no_python_there(sshd: Sshd, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ssh.PYTHON, "/nowhere/python3")
    message = refused(plan_of(tiny_model), sshd.url())
    assert "/nowhere/python3 does not start there" in message
    assert "install Python 3.11" in message


def test_an_old_python_there(sshd: Sshd, tiny_model: Path, set_python: Callable[[str], None]) -> None:
    set_python("echo '[3, 9, 2]'\ncat > /dev/null\n")
    assert "is Python 3.9.2, and 3.11 or newer is needed there" in refused(plan_of(tiny_model), sshd.url())


@pytest.mark.parametrize(
    ("packages", "missing"),
    [((), "numpy and pillow and ai-edge-litert"), (("numpy", "numpy.libs", "PIL", "pillow.libs"), "ai-edge-litert")],
)
def test_packages_that_are_missing_there(
    sshd: Sshd, there: Path, board: Callable[..., Path], tiny_model: Path, packages: tuple[str, ...], missing: str
) -> None:
    python = board(*packages)
    told: list[str] = []
    with pytest.raises(DeviceError) as caught:
        ssh.measure(plan_of(tiny_model), sshd.url(), told.append)
    assert f"{python} lacks {missing}; run there `{python} -m pip install" in str(caught.value)
    assert not any("MB" in text for text in told), "nothing was sent"
    assert gone(there)


def test_packages_that_are_broken_there(sshd: Sshd, there: Path, board: Callable[..., Path], tiny_model: Path) -> None:
    python = board("PIL", "pillow.libs", "ai_edge_litert")
    (installed,) = python.parents[1].glob("lib/python*/site-packages")
    (installed / "numpy.py").write_text("raise ImportError('libopenblas.so.0:\\n\\n cannot open')\n")
    assert "ImportError: libopenblas.so.0: cannot open" in refused(plan_of(tiny_model), sshd.url())
    assert gone(there)


def test_a_host_that_nobody_knows(sshd: Sshd, tiny_model: Path) -> None:
    message = refused(plan_of(tiny_model), "ssh://nobody.invalid")
    assert "nobody.invalid cannot be reached" in message
    assert "resolve" in message


def test_a_port_where_nobody_listens(sshd: Sshd, tiny_model: Path) -> None:
    message = refused(plan_of(tiny_model), "ssh://127.0.0.1:1")
    assert "Connection refused" in message
    assert "`ssh -p 1 127.0.0.1 true` must work" in message


def test_a_key_that_the_other_machine_does_not_know(sshd: Sshd, tiny_model: Path) -> None:
    sshd.config.write_text(sshd.config.read_text().replace("/client", "/stranger"))
    assert "Permission denied (publickey)" in refused(plan_of(tiny_model), sshd.url())


def test_a_machine_that_is_not_the_one_known_by_that_name(sshd: Sshd, tiny_model: Path) -> None:
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
def test_names_that_are_none(name: str, tiny_model: Path) -> None:
    assert "ssh://[USER@]HOST[:PORT]" in refused(plan_of(tiny_model), name, UsageError)


def test_a_name_that_is_none_keeps_its_password_to_itself(tiny_model: Path) -> None:
    assert "secret" not in refused(plan_of(tiny_model), "ssh://me:secret@board:port", UsageError)


def test_ssh_is_not_installed_here(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "install OpenSSH" in refused(plan_of(tiny_model), "ssh://board", UsageError)


def test_a_file_that_is_not_here(sshd: Sshd, tmp_path: Path) -> None:
    assert "nothing.tflite cannot be read" in refused(plan_of(tmp_path / "nothing.tflite"), sshd.url(), InputError)


def test_a_file_that_grows_while_it_is_sent(sshd: Sshd, there: Path, tmp_path: Path) -> None:
    file = tmp_path / "growing.tflite"
    file.write_bytes(b"model")

    def grow(text: str) -> None:
        if "MB" in text:
            file.write_bytes(b"model that has grown")

    with pytest.raises(InputError, match=r"growing\.tflite changed while it was sent"):
        ssh.measure(plan_of(file), sshd.url(), grow)
    assert not ssh_clients()
    assert gone(there)


@pytest.fixture
def small_disk(there: Path) -> Iterator[Callable[[str], None]]:
    """Make the other machine's temporary folder a file system of its own, with these options."""

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


def test_a_disk_that_is_too_small_is_known_before_anything_is_sent(
    sshd: Sshd, there: Path, tiny_model: Path, small_disk: Callable[[str], None]
) -> None:
    small_disk("size=4m")
    told: list[str] = []
    with pytest.raises(DeviceError, match=rf"{there} has \d\.\d MB free of the \d+\.\d MB that are needed there"):
        ssh.measure(plan_of(tiny_model), sshd.url(), told.append)
    assert not any("MB" in text for text in told)
    assert gone(there)


def test_a_disk_that_fills_up_meanwhile(
    sshd: Sshd, there: Path, tiny_model: Path, tmp_path: Path, small_disk: Callable[[str], None]
) -> None:
    """Free space is no promise: this file system has room, and runs out of files."""
    small_disk("size=1g,nr_inodes=40")
    large = tmp_path / "large.tflite"
    large.write_bytes(bytes(8_000_000))  # sent on, after the other side has given up
    message = refused(plan_of(tiny_model, large), sshd.url())
    assert "cannot be written there (No space left on device; " in message
    assert "MB free" in message
    assert gone(there)


class Interrupted:
    """Does something as soon as the other machine tells that it measures."""

    def __init__(self, there: Path, action: Callable[[], object]) -> None:
        self._there, self._action, self.workers = there, action, 0

    def __call__(self, text: str) -> None:
        if text.startswith("launch 2") and not self.workers:
            self.workers = len(processes_with(f"PYTHONPATH={self._there}/osteolite-"))
            self._action()


LONG = {"launches": 100}


def test_a_connection_that_is_cut_leaves_nothing_behind(sshd: Sshd, there: Path, tiny_model: Path) -> None:
    cut = Interrupted(there, lambda: sshd.signal_sessions(signal.SIGKILL))
    with pytest.raises(DeviceError, match=r"the connection to 127\.0\.0\.1 was lost while measuring \(.*\); .* again"):
        ssh.measure(plan_of(tiny_model, **LONG), sshd.url(), cut)
    assert cut.workers
    assert not ssh_clients()
    assert gone(there)


@pytest.mark.slow
def test_a_machine_that_falls_silent_is_noticed(sshd: Sshd, there: Path, tiny_model: Path) -> None:
    silent = Interrupted(there, lambda: sshd.signal_sessions(signal.SIGSTOP))
    with pytest.raises(DeviceError, match=r"was lost while measuring \(Timeout, server 127\.0\.0\.1 not responding"):
        ssh.measure(plan_of(tiny_model, **LONG), sshd.url(), silent)
    sshd.signal_sessions(signal.SIGKILL)
    assert gone(there)


def test_an_interruption_here_ends_all_there(sshd: Sshd, there: Path, tiny_model: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    interrupted = Interrupted(there, interrupt)
    with pytest.raises(KeyboardInterrupt):
        ssh.measure(plan_of(tiny_model, **LONG), sshd.url(), interrupted)
    assert not ssh_clients()
    assert interrupted.workers
    assert gone(there)


def first_process(there: Path, argument: bytes) -> int:
    """The process of the benchmark there whose command line holds the argument."""
    found = [pid for pid in processes_with(f"TMPDIR={there}") if argument in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return min(found)


def test_a_machine_that_ends_its_processes_keeps_no_files(sshd: Sshd, there: Path, tiny_model: Path) -> None:
    """As when it shuts down."""
    ended = Interrupted(there, lambda: os.kill(first_process(there, b"sys.version_info"), signal.SIGTERM))
    with pytest.raises(DeviceError, match="while measuring"):
        ssh.measure(plan_of(tiny_model, **LONG), sshd.url(), ended)
    assert ended.workers
    assert gone(there)


def test_a_measurement_that_is_killed_there_says_so(sshd: Sshd, there: Path, tiny_model: Path) -> None:
    killed = Interrupted(there, lambda: os.kill(first_process(there, b"benchmarks.agent"), signal.SIGKILL))
    with pytest.raises(DeviceError, match=r"ended by SIGKILL; .* memory may have run out"):
        ssh.measure(plan_of(tiny_model, **LONG), sshd.url(), killed)
    assert gone(there)


def agent(plan: Plan, marker: Path) -> subprocess.Popen[bytes]:
    """The agent with a plan, and its input still open; its environment names the marker."""
    process = subprocess.Popen(
        [sys.executable, "-m", "osteolite.benchmarks.agent"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "MARKER": str(marker)},
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(plan.to_dict()).encode() + b"\n")
    process.stdin.flush()
    return process


def test_the_agent_ends_with_its_workers_when_its_input_ends(tiny_model: Path, tmp_path: Path) -> None:
    process = agent(plan_of(tiny_model, **LONG), tmp_path)
    assert process.stdin is not None and process.stdout is not None
    while b"launch 2" not in process.stdout.readline():
        pass
    assert len(processes_with(f"MARKER={tmp_path}")) > 1
    process.stdin.close()
    assert process.wait(PATIENCE) == -signal.SIGKILL
    process.stdout.close()
    end = time.monotonic() + PATIENCE
    while processes_with(f"MARKER={tmp_path}") and time.monotonic() < end:
        time.sleep(0.05)
    assert not processes_with(f"MARKER={tmp_path}")


def test_the_agent_prints_nothing_but_json(tiny_model: Path, tmp_path: Path) -> None:
    process = agent(plan_of(tiny_model), tmp_path)
    assert process.stdin is not None and process.stdout is not None
    lines = [json.loads(line) for line in process.stdout]
    process.stdin.close()
    assert process.wait(PATIENCE) == 0
    process.stdout.close()
    assert [set(line) for line in lines[:-1]] == [{"telling"}] * (len(lines) - 1)
    assert Measured.from_dict(lines[-1]["measured"]).lanes[0].launches
