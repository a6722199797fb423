"""Interrupted measurements leave no files or processes on either machine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from osteolite.benchmarks.devices import ssh
from osteolite.benchmarks.harness.records import Measured, Plan
from osteolite.edge.errors import DeviceError

from .calls import PATIENCE, gone, plan_of, ssh_clients
from .processes import processes_with
from .sshd import Sshd


def worker_runs(marker: str) -> bool:
    """Wait for a measuring process whose environment contains the marker."""
    end = time.monotonic() + PATIENCE
    while not {*processes_with(marker)} & {*processes_with("benchmarks.harness.worker", "cmdline")}:
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


class Interrupted:
    """Runs an action as soon as the other machine reports that it measures."""

    def __init__(self, there: Path, action: Callable[[], object]) -> None:
        self._there, self._action, self.done = there, action, False

    def __call__(self, text: str) -> None:
        if text.startswith("launch 2") and not self.done:
            assert worker_runs(f"TMPDIR={self._there}")
            self.done = True
            self._action()


LONG = {"launches": 100}


def process_there(there: Path, argument: str) -> int:
    """The benchmark's process on the other machine whose command line contains the argument, not its shell."""
    return max({*processes_with(f"TMPDIR={there}")} & {*processes_with(argument, "cmdline")})


def test_a_lost_connection_leaves_nothing_behind(sshd: Sshd, there: Path, tiny_model: Path) -> None:
    cut = Interrupted(there, lambda: sshd.signal_sessions(signal.SIGKILL))
    with pytest.raises(DeviceError, match=r"the connection to 127\.0\.0\.1 was lost while measuring \(.*\); .* again"):
        ssh.measure(plan_of(tiny_model, **LONG), sshd.url(), cut)
    assert cut.done
    assert not ssh_clients()
    assert gone(there)


def test_a_connection_lost_during_the_transfer_leaves_nothing_behind(
    sshd: Sshd, there: Path, tiny_model: Path, tmp_path: Path
) -> None:
    large = tmp_path / "large.tflite"
    large.write_bytes(bytes(30_000_000))

    def cut(text: str) -> None:
        if "MB" in text:
            sshd.signal_sessions(signal.SIGKILL)

    with pytest.raises(DeviceError, match="was lost while sending"):
        ssh.measure(plan_of(tiny_model, large), sshd.url(), cut)
    assert not ssh_clients()
    assert gone(there)


@pytest.mark.slow
def test_a_machine_that_stops_responding_is_noticed(sshd: Sshd, there: Path, tiny_model: Path) -> None:
    silent = Interrupted(there, lambda: sshd.signal_sessions(signal.SIGSTOP))
    with pytest.raises(DeviceError, match=r"was lost while measuring \(Timeout, server 127\.0\.0\.1 not responding"):
        ssh.measure(plan_of(tiny_model, **LONG), sshd.url(), silent)
    assert silent.done
    assert not ssh_clients()
    sshd.signal_sessions(signal.SIGKILL)
    assert gone(there)


def test_an_interrupt_here_ends_everything_there(sshd: Sshd, there: Path, tiny_model: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    interrupted = Interrupted(there, interrupt)
    with pytest.raises(KeyboardInterrupt):
        ssh.measure(plan_of(tiny_model, **LONG), sshd.url(), interrupted)
    assert not ssh_clients()
    assert interrupted.done
    assert gone(there)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_machine_that_ends_all_processes_keeps_no_files(
    sshd: Sshd, there: Path, tiny_model: Path, number: signal.Signals
) -> None:
    """As in a shutdown."""
    ended = Interrupted(there, lambda: os.kill(process_there(there, "sys.version_info"), number))
    with pytest.raises(DeviceError, match="while measuring"):
        ssh.measure(plan_of(tiny_model, **LONG), sshd.url(), ended)
    assert ended.done
    assert gone(there)


def test_a_killed_measurement_is_reported(sshd: Sshd, there: Path, tiny_model: Path) -> None:
    killed = Interrupted(there, lambda: os.kill(process_there(there, "devices.agent"), signal.SIGKILL))
    with pytest.raises(DeviceError, match=r"ended by SIGKILL; .* memory may have run out"):
        ssh.measure(plan_of(tiny_model, **LONG), sshd.url(), killed)
    assert killed.done
    assert gone(there)


def start(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **environment},
    )


def end_of_all(marker: str) -> bool:
    """Wait until all processes whose environment contains the marker have ended."""
    end = time.monotonic() + PATIENCE
    while processes_with(marker) and time.monotonic() < end:
        time.sleep(0.05)
    return not processes_with(marker)


def test_a_killed_program_here_leaves_nothing_there(sshd: Sshd, there: Path, tiny_model: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from osteolite.benchmarks.devices import ssh\n"
        "from osteolite.benchmarks.harness.records import Plan\n"
        "ssh.measure(Plan((sys.argv[1],), (1,), launches=100), sys.argv[2], lambda text: print(text, flush=True))"
    )
    with start("-c", script, str(tiny_model), sshd.url(), MARKER=str(tmp_path)) as process:
        assert process.stdout is not None
        assert any(b"launch 2" in line for line in process.stdout)
        assert worker_runs(f"TMPDIR={there}")
        process.kill()
    assert end_of_all(f"MARKER={tmp_path}"), "the client that it started ends too"
    assert gone(there)


def started_agent(plan: Plan, **environment: str) -> subprocess.Popen[bytes]:
    """Start the agent with a plan, and keep its input open."""
    process = start("-m", "osteolite.benchmarks.devices.agent", **environment)
    assert process.stdin is not None
    process.stdin.write(json.dumps(plan.to_dict()).encode() + b"\n")
    process.stdin.flush()
    return process


def test_the_agent_ends_with_its_workers_when_its_input_ends(tiny_model: Path, tmp_path: Path) -> None:
    with started_agent(plan_of(tiny_model, **LONG), MARKER=str(tmp_path)) as process:
        assert process.stdin is not None and process.stdout is not None
        assert any(b"launch 2" in line for line in process.stdout)
        assert worker_runs(f"MARKER={tmp_path}")
        process.stdin.close()
        assert process.wait(PATIENCE) == -signal.SIGKILL
    assert end_of_all(f"MARKER={tmp_path}")


def test_the_agent_without_a_plan_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "osteolite.benchmarks.devices.agent"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_output_of_libraries_does_not_mix_with_the_agents_json(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "sys.addaudithook(lambda event, _: event == 'subprocess.Popen' and os.write(1, b'chatter\\n'))\n"
    )
    with started_agent(plan_of(tiny_model), PYTHONPATH=str(tmp_path)) as process:
        assert process.stdout is not None
        lines = [json.loads(line) for line in process.stdout]
        assert process.wait(PATIENCE) == 0
    assert all(set(line) == {"telling"} for line in lines[:-1])
    assert Measured.from_dict(lines[-1]["measured"]).cases[0].launches


def test_the_agent_reports_its_errors(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise ImportError('libopenblas.so.0:\\n\\n cannot open')\n")
    with started_agent(plan_of(tmp_path), PYTHONPATH=str(tmp_path)) as process:
        assert process.stdout is not None
        (answer,) = map(json.loads, process.stdout)
    assert answer["exit_code"] == 1
    assert "ImportError: libopenblas.so.0: cannot open" in answer["error"]
