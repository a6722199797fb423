"""The page's predictions equal those of edge/prediction/classifier.py and edge/prediction/router.py."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from osteolite.edge.imaging.radiograph import read_radiograph
from osteolite.edge.modelfile.archive import write_model
from osteolite.edge.modelfile.shipped import shipped_model
from osteolite.edge.prediction.classifier import FractureClassifier
from osteolite.edge.prediction.prediction import Prediction
from osteolite.edge.prediction.router import Router
from osteolite.edge.preprocess import fit

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_PREDICT = """async (js, bytes, {model, names, accelerator}) => {
  try {
    const classifier = await js.openClassifier(await bytes(model), {accelerator});
    const images = await Promise.all(names.map(async (name) => js.readRadiograph(new Blob([await bytes(name)]))));
    const found = await Promise.all(images.map((image) => classifier.predict(image)));
    classifier.close();
    for (const {activationMap: map} of found) if (map) map.values = Array.from(map.values);
    return found;
  } catch (error) { return error.message; }
}"""


@pytest.fixture(scope="module")
def predict(evaluate: Callable[..., Any]) -> Callable[..., Any]:
    """The page's predictions for files, or its error message."""

    def call(model: bytes, files: dict[str, bytes], accelerator: str = "wasm") -> Any:
        argument = {"model": "model.tflite", "names": list(files), "accelerator": accelerator}
        return evaluate(_PREDICT, argument, {"model.tflite": model, **files})

    return call


def assert_same(found: dict[str, Any], expected: Prediction, tolerance: float = 1e-6) -> None:
    assert found["fractureProbability"] == pytest.approx(expected.fracture_probability, abs=tolerance)
    assert (found["label"], found["threshold"]) == (expected.label, expected.threshold)
    assert (found["model"], found["warnings"]) == (expected.model, expected.warnings)
    assert (found["bodyPart"], found["applied"]) == (expected.body_part, "wasm")
    if expected.ood_score is None:
        assert found["oodScore"] is None
    else:
        assert found["oodScore"] == pytest.approx(expected.ood_score, rel=1e-4)
    if expected.activation_map is None:
        assert found["activationMap"] is None
    else:
        assert (found["activationMap"]["rows"], found["activationMap"]["columns"]) == expected.activation_map.shape
        assert np.abs(np.array(found["activationMap"]["values"]) - expected.activation_map.ravel()).max() < 1e-4


@pytest.mark.slow
def test_real_images_get_the_predictions_of_python(predict: Callable[..., Any], shared_data: Path) -> None:
    """With the shipped model on the CPU."""
    paths = sorted((shared_data / "fracatlas" / "images").glob("*/*.jpg"))
    paths = paths[:: len(paths) // 50][:50]
    paths += [path for path in sorted((shared_data / "ood").iterdir()) if path.suffix in (".png", ".bmp")]
    files = {f"{number}": path.read_bytes() for number, path in enumerate(paths)}
    classifier = FractureClassifier(threads=1)
    found = predict(shipped_model().read_bytes(), files)
    assert len(found) == len(paths) >= 55
    for path, one in zip(paths, found, strict=True):
        assert_same(one, classifier.predict(path))
    assert {kind for one in found for kind in one["warnings"]} >= {"coloured", "unfamiliar"}


@pytest.mark.slow
def test_images_of_several_megapixels_get_similar_predictions(
    evaluate: Callable[..., Any], predict: Callable[..., Any], shared_data: Path
) -> None:
    """Python's decoder reduces them before rounding; a grey level changes an int8 prediction by some hundredths."""
    paths = sorted((shared_data / "fracatlas" / "fullres").glob("*/*.jpg"))[::5]
    files = {path.name: path.read_bytes() for path in paths}
    classifier = FractureClassifier(threads=1)
    pixels = evaluate(
        """async (js, bytes, {spec, names}) => Promise.all(names.map(async (name) =>
          Array.from(js.fit(js.forInput(await js.readRadiograph(new Blob([await bytes(name)])), spec), spec))))""",
        {"spec": classifier.spec.to_dict(), "names": list(files)},
        files,
    )
    for path, found in zip(paths, pixels, strict=True):
        expected = fit(read_radiograph(path, classifier.spec), classifier.spec).ravel()
        difference = np.abs(np.array(found) - expected)
        assert difference.max() <= 3 and difference.mean() < 0.25
    for path, one in zip(paths, predict(shipped_model().read_bytes(), files), strict=True):
        assert one["fractureProbability"] == pytest.approx(classifier.predict(path).fracture_probability, abs=0.1)


@pytest.fixture(scope="module")
def greys() -> dict[str, bytes]:
    found = {}
    for name, image in {
        "dark": Image.linear_gradient("L").point(lambda value: value // 4),
        "bright": Image.linear_gradient("L").resize((90, 40)),
        "flat": Image.new("L", (30, 30), 90),
        "thumbnail": Image.linear_gradient("L").resize((12, 15)),
        "coloured": Image.merge("RGB", [Image.linear_gradient("L"), *[Image.radial_gradient("L")] * 2]),
    }.items():
        stream = io.BytesIO()
        image.save(stream, "PNG")
        found[name] = stream.getvalue()
    return found


def test_other_calibration_and_preprocessing(
    predict: Callable[..., Any], greys: dict[str, bytes], tiny_model: Path, save_model: Callable[..., Path], tiny: Any
) -> None:
    three = save_model(
        tiny.mean((1, 40, 32, 3), weight=-2.0),
        preprocessing={"width": 32, "height": 40, "aspect": "squeeze", "interpolation": "lanczos", "mean": 90},
        threshold={"value": 0.55},
    )
    for model in (tiny_model, three):
        found = predict(model.read_bytes(), greys)
        for one, content in zip(found, greys.values(), strict=True):
            assert_same(one, FractureClassifier(model).predict(content))
        assert {one["label"] for one in found} == {"normal", "fractured"}
        assert [list(one["warnings"]) for one in found] == [[], [], ["blank"], ["small"], ["coloured"]]
        assert set(found[0]["milliseconds"]) == {"preprocess", "invoke", "check"}


def test_inverted_image_gets_a_warning(
    predict: Callable[..., Any], save_model: Callable[..., Path], tiny: Any, encode: Callable[..., bytes]
) -> None:
    """The only feature is the mean of the input, and the training data is dark."""
    limits = {"limit": 2.5, "mean": [-0.8], "scale": [0.2], "basis": []}
    model = save_model(tiny.mean(twice=True), out_of_distribution=limits)
    ramp = Image.linear_gradient("L")
    files = {
        "dark": encode(ramp.point(lambda value: value // 5), "PNG"),
        "negative": encode(ramp.point(lambda value: 255 - value // 5), "PNG"),
        "other": encode(ramp, "PNG"),
    }
    found = predict(model.read_bytes(), files)
    assert [list(one["warnings"]) for one in found] == [[], ["inverted"], ["unfamiliar"]]
    for one, content in zip(found, files.values(), strict=True):
        assert_same(one, FractureClassifier(model).predict(content))


def test_router_uses_the_model_of_the_body_part(
    predict: Callable[..., Any], greys: dict[str, bytes], tiny_router: Path, tiny: Any, tmp_path: Path
) -> None:
    own = tmp_path / "leg.tflite"
    write_model(own, tiny.mean((1, 48, 24, 3)), tiny.description(preprocessing={"width": 24, "height": 48}))
    described = {"kind": "router", "labels": ["leg", "hand"], "probability_calibration": {"temperature": 2.0}}
    other = tmp_path / "router.tflite"
    stages = dict.fromkeys(("leg", "hand"), own.read_bytes())
    write_model(other, tiny.mean(outputs=2), tiny.description(name="other", **described), stages)
    for router, body_part in ((tiny_router, "hand"), (other, "leg")):
        found = predict(router.read_bytes(), greys)
        for one, content in zip(found, greys.values(), strict=True):
            assert_same(one, Router(router).predict(content))
            assert (one["bodyPart"], one["bodyPartProbability"]) == (body_part, 0.5)
            assert "load" in one["milliseconds"]


@pytest.mark.slow
def test_gpu_gives_similar_predictions(predict: Callable[..., Any], greys: dict[str, bytes], tiny_model: Path) -> None:
    found = predict(tiny_model.read_bytes(), greys, "webgpu")
    if isinstance(found, str) and "no usable GPU" in found:
        pytest.skip("needs a Chromium with a software GPU")
    classifier = FractureClassifier(tiny_model)
    for one, content in zip(found, greys.values(), strict=True):
        assert (one["applied"], one["reason"]) == ("webgpu", "")
        assert one["fractureProbability"] == pytest.approx(classifier.predict(content).fracture_probability, abs=1e-3)


def test_unusable_model_is_refused_in_one_line(
    predict: Callable[..., Any],
    greys: dict[str, bytes],
    tiny_model: Path,
    tiny_int8_model: Path,
    tiny_router: Path,
    save_model: Callable[..., Path],
    tiny: Any,
) -> None:
    whole, router = tiny_model.read_bytes(), tiny_router.read_bytes()
    parts = {"kind": "body_part", "labels": ["hand", "leg"], "probability_calibration": {"temperature": 1.0}}
    cases = {
        "not a TFLite model": b"not a model at all",
        "a TFLite model without osteolite.json": tiny.mean(),
        "a TFLite model without osteolite": whole[:-30],
        "archive is damaged": whole[:-6] + b"\xff" * 4 + whole[-2:],
        "SHA-256": whole[:300] + bytes([whole[300] ^ 1]) + whole[301:],
        "is not valid (schema 7": whole.replace(b'"schema":1', b'"schema":7'),
        "(its threshold)": whole.replace(b'"value":0.4', b'"value":4.0'),
        "(the size of its input)": whole.replace(b'"width":32', b'"width":-2'),
        "float32 of 1,33,32,1 is needed": whole.replace(b'"height":32', b'"height":33'),
        "(its aspect)": whole.replace(b'"width":32', b'"aspect":3'),
        "runtime refuses the model": tiny_int8_model.read_bytes(),
        "gives no fracture probability": save_model(tiny.mean(outputs=2), **parts).read_bytes(),
        "2 logits are needed": save_router(save_model, tiny, whole).read_bytes(),
        "stage": router[:-4000] + router[-4000:].replace(b"stages/hand", b"stages/hard"),
    }
    for reason, content in cases.items():
        found = predict(content, {"dark": greys["dark"]})
        assert isinstance(found, str) and reason in found and "\n" not in found, (reason, found)


def save_router(save_model: Callable[..., Path], tiny: Any, stage: bytes) -> Path:
    """A router whose network gives one logit for two body parts."""
    path = save_model(tiny.mean())
    described = {"kind": "router", "labels": ["hand", "leg"], "probability_calibration": {"temperature": 1.0}}
    write_model(path, tiny.mean(outputs=1), tiny.description(**described), dict.fromkeys(("hand", "leg"), stage))
    return path


_OPEN = """async ([path, before]) => {
  if (before === "old") globalThis.DecompressionStream = undefined;
  const {openClassifier} = await import("/js/classifier.js");
  try {
    const classifier = await openClassifier(new Uint8Array(await (await fetch(path)).arrayBuffer()), {});
    const data = Uint8Array.from({length: 1024}, (_, place) => place / 4);
    const {logit} = await classifier.predict({grey: {width: 32, height: 32, data}, chroma: 0, jpegOrientation: 0});
    classifier.close();
    const names = performance.getEntriesByType("resource").map(({name}) => name);
    return {logit, build: names.find((name) => name.endsWith(".wasm.gz")).match(/wasm_([a-z]+)_/)[1]};
  } catch (error) { return error.message; }
}"""


@pytest.fixture
def open_page(chromium: "Browser", server: Any, tiny_model: Path) -> Iterator[Callable[..., Any]]:
    """Open the tiny model in a new page, with the server as it is configured."""
    server.contents["/files/tiny.tflite"] = tiny_model.read_bytes()
    pages = []

    def call(before: str = "") -> Any:
        page = chromium.new_context().new_page()
        pages.append(page)
        page.goto(f"{server.address}/test.html")
        return page.evaluate(_OPEN, ["/files/tiny.tflite", before])

    yield call
    for page in pages:
        page.context.close()
    server.isolated, server.encoded = True, set()


def test_page_runs_on_any_host(open_page: Callable[..., Any], server: Any) -> None:
    """With threads if the server allows them, and with the runtime unpacked by the browser or by the page."""
    usual = open_page()
    assert usual["build"] == "threaded"
    server.encoded = {".gz"}
    assert open_page() == usual
    assert "unpack" not in open_page("old")
    server.isolated, server.encoded = False, set()
    assert open_page() == {**usual, "build": "compat"}
    message = open_page("old")
    assert message == "this browser cannot unpack the runtime (it has no DecompressionStream); use a newer one"
