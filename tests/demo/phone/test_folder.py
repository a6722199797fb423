"""The page's folder: its files, the models it refuses, and atomic writing."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from osteolite.demo.phone.commands import phone
from osteolite.demo.phone.folder import page_contents, write_folder
from osteolite.edge.browser import POLICY
from osteolite.edge.cli import cli
from osteolite.edge.errors import ModelFileError, UsageError
from osteolite.edge.modelfile.archive import read_flatbuffer, write_model
from osteolite.edge.modelfile.shipped import shipped_model

MAX_BYTES = 15_000_000


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["phone", *map(str, arguments)])


def files_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def contents() -> dict[str, bytes]:
    """The page of the shipped model."""
    return page_contents()


def test_page_of_the_shipped_model_is_small(contents: dict[str, bytes]) -> None:
    assert contents[f"models/{shipped_model().name}"] == shipped_model().read_bytes()
    assert sum(map(len, contents.values())) < MAX_BYTES


def test_page_refers_to_no_other_host(contents: dict[str, bytes]) -> None:
    for name in ("index.html", "app.js", "style.css", "about.js", "answer.js", "offline.js", "manifest.webmanifest"):
        text = contents[name].decode()
        assert not re.search(r"(?<!www\.w3\.org)//[a-z0-9-]+\.[a-z]", text), name
        assert not re.search(r'(?:=|from |\()"/', text), f"{name} has an absolute path"


def test_page_has_the_policy_and_nothing_inline(contents: dict[str, bytes]) -> None:
    text = contents["index.html"].decode()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    expected = [rule.strip() for rule in POLICY.split(";")]
    assert [rule.strip() for rule in policy.split(";")] == [
        rule for rule in expected if rule and not rule.startswith("frame-ancestors")
    ]
    assert "default-src 'none'" in policy or "default-src 'self'" in policy
    assert "'unsafe-inline'" not in policy
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=", text)


def test_page_and_benchmark_list_existing_models(tiny_model: Path, tiny_router: Path) -> None:
    made = page_contents([str(tiny_model), str(tiny_router)])
    models = json.loads(made["models.json"])
    assert [(model["file"], model["variant"], model["bytes"]) for model in models] == [
        (path.name, "float32", path.stat().st_size) for path in (tiny_model, tiny_router)
    ]
    for model in models:
        assert len(made[model["url"]]) == model["bytes"]
    task = json.loads(made["bench/bench.json"])
    for model in task["models"]:
        assert model["url"].removeprefix("../") in made


def test_manifest_has_what_browsers_need(contents: dict[str, bytes], tmp_path: Path) -> None:
    manifest = json.loads(contents["manifest.webmanifest"])
    assert manifest["name"] and manifest["short_name"] and manifest["display"] == "standalone"
    assert manifest["start_url"] == manifest["scope"] == "./"
    for icon in manifest["icons"]:
        if icon["type"] == "image/png":
            (tmp_path / "icon.png").write_bytes(contents[icon["src"]])
            with Image.open(tmp_path / "icon.png") as image:
                assert icon["sizes"] == f"{image.width}x{image.height}"
        else:
            assert contents[icon["src"]].startswith(b"<svg")
    sizes = {(icon["sizes"], icon["purpose"]) for icon in manifest["icons"]}
    assert {("192x192", "any"), ("512x512", "any"), ("512x512", "maskable")} <= sizes


def listed(made: dict[str, bytes]) -> dict[str, Any]:
    first = made["sw.js"].decode().partition("\n")[0]
    found: dict[str, Any] = json.loads(first.removeprefix("const CONTENTS = ").removesuffix(";"))
    return found


def test_service_worker_lists_every_file_with_its_digest(contents: dict[str, bytes]) -> None:
    expected = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items() if name != "sw.js"}
    assert listed(contents)["files"] == expected


def test_version_depends_only_on_the_contents(contents: dict[str, bytes], tiny_model: Path) -> None:
    assert page_contents() == contents
    assert listed(page_contents([str(tiny_model)]))["version"] != listed(contents)["version"]


def test_model_name_is_made_safe_for_urls(tiny_model: Path, tmp_path: Path) -> None:
    odd = tmp_path / "knee #1 ü%2e.tflite"
    odd.write_bytes(tiny_model.read_bytes())
    (model,) = json.loads(page_contents([str(odd)])["models.json"])
    assert model["file"] == "knee__1___2e.tflite"


def test_two_files_with_the_same_name_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    twin = tmp_path / tiny_model.name
    twin.write_bytes(tiny_model.read_bytes())
    with pytest.raises(UsageError, match=f"{twin}: another model file is also called {tiny_model.name}; rename"):
        page_contents([str(tiny_model), str(twin)])


def test_model_that_browsers_do_not_run_is_refused(tiny: Any, tiny_int8_model: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ModelFileError, match=r"int8: its input is int8, which browsers do not run; give float32, .*int8"
    ):
        page_contents([str(tiny_int8_model)])
    plain = tmp_path / "plain.tflite"
    plain.write_bytes(tiny.mean())
    with pytest.raises(ModelFileError, match=r"plain\.tflite: a TFLite model without osteolite\.json"):
        page_contents([str(plain)])
    with pytest.raises(ModelFileError, match=r"none\.tflite: cannot be opened"):
        page_contents([str(tmp_path / "none.tflite")])


def test_open_batch_is_refused(tiny: Any, save_model: Callable[..., Path]) -> None:
    graph = tiny.graph()
    picture = graph.tensor((1, 32, 32, 1), "float32")
    graph.subgraph.tensors[picture].shapeSignature = [-1, 32, 32, 1]
    path = save_model(graph.to_bytes([picture], [picture]))
    with pytest.raises(ModelFileError, match="the batch of its input is open, but browsers need 1"):
        page_contents([str(path)])


def test_stage_that_browsers_do_not_run_is_refused(tiny: Any, tiny_int8_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "router.tflite"
    about = {"kind": "router", "labels": ["hand", "leg"], "probability_calibration": {"temperature": 1.0}}
    stages = dict.fromkeys(("hand", "leg"), tiny_int8_model.read_bytes())
    write_model(path, tiny.mean(outputs=2), tiny.description(**about), stages)
    with pytest.raises(ModelFileError, match=r"router\.tflite: stage hand: int8: its input is int8"):
        page_contents([str(path)])


def test_model_without_fracture_probability_is_refused(tiny: Any, tmp_path: Path) -> None:
    path = tmp_path / "part.tflite"
    about = {"kind": "body_part", "labels": ["hand", "leg"], "probability_calibration": {"temperature": 1.0}}
    write_model(path, tiny.mean(outputs=2), tiny.description(**about))
    assert read_flatbuffer(path)
    with pytest.raises(
        ModelFileError, match=r"a model of kind body_part, which gives no fracture probability; give a fracture"
    ):
        page_contents([str(path)])


def test_folder_is_written_and_replaced_as_a_whole(
    contents: dict[str, bytes], tiny_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "site" / "xray"
    write_folder(contents, str(folder))
    assert files_below(folder) == contents
    again = run("--model", tiny_model, "--out", folder)
    assert again.exit_code == 0, again.output
    assert files_below(folder) == page_contents([str(tiny_model)])
    assert [path.name for path in folder.parent.iterdir()] == ["xray"]
    assert re.search(rf"{folder}: \d+ files, \d+\.\d MB; copy the folder unchanged to any https server", again.output)


def test_empty_folder_is_used(contents: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_folder(contents, str(tmp_path / "empty"))
    assert files_below(tmp_path / "empty") == contents


def test_folder_with_other_files_is_refused_and_unchanged(contents: dict[str, bytes], tmp_path: Path) -> None:
    foreign, ours = tmp_path / "foreign", tmp_path / "ours"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    write_folder(contents, str(ours))
    (ours / "CNAME").write_text("example.org")
    for folder, name in ((foreign, "thesis.txt"), (ours, "CNAME")):
        before = files_below(folder)
        with pytest.raises(UsageError, match=f"has {name}, which `osteolite phone` did not write; give a new or"):
            write_folder(contents, str(folder))
        assert files_below(folder) == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="not a folder; give another path"):
        write_folder(contents, str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "mine"


def test_full_disk_leaves_the_previous_folder(
    contents: dict[str, bytes], tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "xray"
    write_folder(contents, str(folder))
    calls = iter(range(5))

    def sync(_: int) -> None:
        if next(calls, None) is None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", sync)
    with pytest.raises(UsageError, match=r"xray: cannot be written \(No space left on device\); give another folder"):
        write_folder(page_contents([str(tiny_model)]), str(folder))
    assert files_below(folder) == contents
    assert [path.name for path in tmp_path.iterdir()] == ["xray"]


@pytest.mark.parametrize("arguments", [(), ("--out", "x", "--serve"), ("--out", "x", "--port", "8000")])
def test_wrong_call_is_reported_in_one_line(arguments: tuple[str, ...]) -> None:
    answer = CliRunner().invoke(phone, arguments)
    assert isinstance(answer.exception, UsageError)
    wrong = run(*arguments)
    assert wrong.exit_code == 2
    assert wrong.output.count("\n") == 1
