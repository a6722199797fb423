"""The documents: commands exist, Python runs, links lead somewhere, and the service file is sound."""

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
GUIDES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
PAGES = sorted(
    {*ROOT.glob("*.md"), *GUIDES, *(ROOT / "edge/models").glob("*.md"), *(ROOT / "benchmarks/results").rglob("*.md")}
)
UNIT = ROOT / "docs" / "osteolite-watch.service"
ONLY_ON_A_RASPBERRY_PI = ("picamera2",)
MOST_EXPOSED = 1.0  # on systemd's scale from 0 (safe) to 10, for a service that an attacker has taken over
FAKE_CAMERA = """
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
    """Yield the arguments of each call of `osteolite` in lines of shell."""
    for line in text.replace("\\\n", " ").splitlines():
        words = [word for word in shlex.split(line, comments=True) if word != "sudo"]
        if words and Path(words[0]).name == "osteolite":
            end = next((index for index, word in enumerate(words) if word in ("|", ">", ">>", "&&", ";")), None)
            yield words[1:end]


def check_command(arguments: list[str]) -> None:
    """Check that the command and each of its options exist, without running it."""
    name, *rest = arguments
    assert name in COMMANDS
    command = load_command(name)
    with command.make_context(name, rest) as context:
        if isinstance(command, click.Group):
            _, subcommand, rest = command.resolve_command(context, [*context._protected_args, *context.args])
            assert subcommand is not None
            with subcommand.make_context(subcommand.name, rest, parent=context):
                pass


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes from the headings of a page."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def id_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_commands_finds_the_calls_of_osteolite_in_shell() -> None:
    text = "make run  # osteolite a\nsudo /opt/x/bin/osteolite b 'c d' > e\n  osteolite f \\\n  --g | less\n"
    assert list(commands(text)) == [["b", "c d"], ["f", "--g"]]


@pytest.mark.parametrize("page", GUIDES, ids=id_of)
def test_every_command_on_a_page_exists_with_its_options(page: Path) -> None:
    for block in blocks(page, "sh"):
        for arguments in commands(block):
            check_command(arguments)


@pytest.mark.parametrize("page", GUIDES, ids=id_of)
def test_python_on_a_page_compiles_and_its_imports_exist(page: Path) -> None:
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Import):
                for name in node.names:
                    assert name.name in ONLY_ON_A_RASPBERRY_PI or find_spec(name.name)
            elif isinstance(node, ast.ImportFrom) and node.module not in ONLY_ON_A_RASPBERRY_PI:
                assert node.module
                module = importlib.import_module(node.module)
                assert all(hasattr(module, name.name) for name in node.names)


@pytest.mark.parametrize("page", GUIDES, ids=id_of)
def test_json_on_a_page_is_valid(page: Path) -> None:
    for block in blocks(page, "json"):
        for line in block.splitlines():
            json.loads(line)


@pytest.mark.parametrize("page", PAGES, ids=id_of)
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8")):
        file = page.parent / target if target else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), f"{target}#{anchor}"


def test_camera_program_predicts_what_the_camera_sees(tmp_path: Path) -> None:
    [program] = [block for block in blocks(ROOT / "docs" / "raspberry-pi.md", "python") if "picamera2" in block]
    (tmp_path / "picamera2.py").write_text(FAKE_CAMERA)
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run([sys.executable, tmp_path / "program.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    label, probability, *warning = done.stdout.split()
    assert label in ("normal", "fractured")
    assert 0 <= float(probability) <= 1
    assert "shade" in warning  # the fake camera's image has one shade of grey


# The service


def settings_of(unit: Path) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE))


def test_service_calls_a_command_that_exists() -> None:
    settings = settings_of(UNIT)
    [arguments] = commands(settings["ExecStart"])
    check_command(arguments)
    assert arguments[arguments.index("--out") + 1].startswith(f"%S/{settings['StateDirectory']}/")


def analyze(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze, from the package systemd")
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


def test_systemd_accepts_the_service(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("osteolite")
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text(encoding="utf-8").replace("/opt/osteolite/bin/osteolite", str(script)))
    done = analyze("verify", "--man=no", unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_service_has_few_rights() -> None:
    done = analyze("security", "--offline=true", "--no-pager", UNIT)
    if "unrecognized option" in done.stderr:
        pytest.skip("needs a systemd-analyze that reads service files: version 250 or later")
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= MOST_EXPOSED
