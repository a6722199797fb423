"""What the pages tell a reader to type: the commands are ones, the Python runs, the service file is sound."""

import ast
import importlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from osteolite.edge.cli import COMMANDS, load_command

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
UNIT = ROOT / "docs" / "osteolite-watch.service"
CAMERA = ("picamera2",)  # on a Raspberry Pi alone
SCORE = 1.0  # of 10, in systemd's measure of what a service could do if it were taken over
A_CAMERA = """
from PIL import Image
class Picamera2:
    def __enter__(self): return self
    def __exit__(self, *error): assert self.started
    def create_still_configuration(self): return {"use": "still"}
    def configure(self, given): assert given == {"use": "still"}
    def start(self): self.started = True
    def capture_image(self, name): return Image.new("RGB", (640, 480), (90, 90, 99))
"""


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands(text: str) -> Iterator[list[str]]:
    """The arguments of each call of `osteolite` in some lines of shell."""
    for line in text.replace("\\\n", " ").splitlines():
        words = [word for word in shlex.split(line, comments=True) if word != "sudo"]
        if words and Path(words[0]).name == "osteolite":
            end = next((place for place, word in enumerate(words) if word in ("|", ">", ">>", "&&", ";")), None)
            yield words[1:end]


def check(arguments: list[str]) -> None:
    """The command is one, and so is each of its options; nothing is run."""
    name, *rest = arguments
    assert name in COMMANDS
    command = load_command(name)
    with command.make_context(name, rest) as context:
        if isinstance(command, click.Group):
            _, inner, rest = command.resolve_command(context, [*context._protected_args, *context.args])
            assert inner is not None
            with inner.make_context(inner.name, rest, parent=context):
                pass


def id_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_the_reader_of_shell_sees_commands() -> None:
    text = "make run  # osteolite a\nsudo /opt/x/bin/osteolite b 'c d' > e\n  osteolite f \\\n  --g | less\n"
    assert list(commands(text)) == [["b", "c d"], ["f", "--g"]]


@pytest.mark.parametrize("page", PAGES, ids=id_of)
def test_every_command_on_a_page_can_be_called_like_that(page: Path) -> None:
    for block in blocks(page, "sh"):
        for arguments in commands(block):
            check(arguments)


@pytest.mark.parametrize("page", PAGES, ids=id_of)
def test_the_python_on_a_page_compiles_and_imports_what_there_is(page: Path) -> None:
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Import):
                for name in node.names:
                    assert name.name in CAMERA or find_spec(name.name)
            elif isinstance(node, ast.ImportFrom) and node.module not in CAMERA:
                assert node.module
                module = importlib.import_module(node.module)
                assert all(hasattr(module, name.name) for name in node.names)


@pytest.mark.parametrize("page", PAGES, ids=id_of)
def test_the_json_on_a_page_is_json(page: Path) -> None:
    for block in blocks(page, "json"):
        for line in block.splitlines():
            json.loads(line)


@pytest.mark.parametrize("page", PAGES, ids=id_of)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_camera_program_runs(tmp_path: Path) -> None:
    [program] = [block for block in blocks(ROOT / "docs" / "raspberry-pi.md", "python") if "picamera2" in block]
    (tmp_path / "picamera2.py").write_text(A_CAMERA)
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run([sys.executable, tmp_path / "program.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    label, probability, *warning = done.stdout.split()
    assert label in ("normal", "fractured")
    assert 0 <= float(probability) <= 1
    assert "shade" in warning  # what A_CAMERA takes is one shade of grey


# The service


def settings_of(unit: Path) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE))


def test_the_service_calls_a_command_that_is_one() -> None:
    settings = settings_of(UNIT)
    [arguments] = commands(settings["ExecStart"])
    check(arguments)
    assert arguments[arguments.index("--out") + 1].startswith(f"%S/{settings['StateDirectory']}/")


def analyze(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze, of the package systemd")
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


def test_systemd_takes_the_service(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("osteolite")
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text(encoding="utf-8").replace("/opt/osteolite/bin/osteolite", str(script)))
    done = analyze("verify", "--man=no", unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_service_can_do_little() -> None:
    done = analyze("security", "--offline=true", "--no-pager", UNIT)
    if "unrecognized option" in done.stderr:
        pytest.skip("needs a systemd-analyze that reads service files: 250 or later")
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= SCORE
