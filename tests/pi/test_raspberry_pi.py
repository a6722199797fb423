"""The installed edge package on emulated Raspberry Pis, compared with this machine."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from osteolite.benchmarks.studies.bit_identity import score
from osteolite.edge import FractureClassifier
from osteolite.edge.atomic import write_json
from osteolite.edge.modelfile.shipped import shipped_model

from .board import Board

pytestmark = pytest.mark.slow

OLDER_KERNELS = 0.05  # largest difference of probabilities with the kernels of tflite-runtime
PI_3, PI_4, PI_5 = "cortex-a53", "cortex-a72", "cortex-a76"  # the last one has kernels of its own


def output_of(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


def compared(board: Board, model: Path, images: Path, folder: Path, count: int = 200) -> dict[str, Any]:
    """Return the board's results and their comparison with this machine."""
    write_json(folder / "here.json", score(model, images, count))
    arguments = ("--images", images, "--model", model, "--count", str(count), "--against", folder / "here.json")
    result = board.python("-m", "osteolite.benchmarks.studies.bit_identity", *arguments, "--out", folder / "there.json")
    assert result.returncode in (0, 1), result.stderr[-3000:]
    found: dict[str, Any] = json.loads((folder / "there.json").read_text())
    return found


@pytest.mark.parametrize("cpu", [PI_3, PI_4, PI_5])
def test_int8_gives_the_same_bits(cpu: str, pi: Board, int8_network: Path, pictures: Path, tmp_path: Path) -> None:
    found = compared(pi.with_cpu(cpu), int8_network, pictures, tmp_path)
    assert found["conditions"]["architecture"] == "aarch64"
    assert found["against"]["conditions"]["architecture"] == "x86_64"
    assert found["runtime"] == found["against"]["runtime"]
    assert len(set(found["probabilities"].values())) > 4
    assert (found["against"]["identical"], found["against"]["different"]) == (8, 0)


def test_the_shipped_model_gives_the_same_probabilities(pi: Board, pictures: Path, tmp_path: Path) -> None:
    found = compared(pi, shipped_model(), pictures, tmp_path)
    assert len(set(found["probabilities"].values())) > 4
    assert found["against"]["largest_difference"] == 0


def test_the_shipped_model_gives_the_same_probabilities_for_radiographs(
    pi: Board, shared_data: Path, tmp_path: Path
) -> None:
    found = compared(pi, shipped_model(), shared_data / "fracatlas/images", tmp_path, count=4)
    assert len(found["probabilities"]) == 4
    assert found["against"]["largest_difference"] == 0


def test_the_console_script_scores_jpeg_png_and_dicom(pi: Board, pictures: Path, tmp_path: Path) -> None:
    dicom = write_dicom(tmp_path / "phantom.dcm", pictures / "phantom0.png")
    files = [str(file) for file in (pictures / "phantom1.jpg", pictures / "phantom0.png", dicom)]
    lines = [json.loads(line) for line in output_of(pi.osteolite("predict", *files, "--format", "jsonl")).splitlines()]
    here = FractureClassifier()
    assert [line["file"] for line in lines] == files
    for line in lines:
        expected = here.predict(line["file"])
        assert line["label"] == expected.label
        assert line["fracture_probability"] == pytest.approx(expected.fracture_probability, abs=1e-6)


def test_the_console_script_scores_jpeg_2000_in_dicom(pi: Board, shared_data: Path) -> None:
    file = shared_data / "dicom/RG3_J2KR.dcm"
    line = json.loads(output_of(pi.osteolite("predict", file, "--format", "jsonl")))
    assert line["fracture_probability"] == pytest.approx(
        FractureClassifier().predict(file).fracture_probability, abs=1e-6
    )


def test_doctor_reports_that_it_works(pi: Board) -> None:
    found = json.loads(output_of(pi.osteolite("doctor", "--json")))
    assert found["works"] is True
    assert found["architecture"] == "aarch64"
    assert found["runtime"].startswith("ai-edge-litert")


def test_a_32_bit_board_scores_jpeg_and_png(pi32: Board, pictures: Path) -> None:
    """With the older runtime, the only one for 32-bit ARM, whose kernels round differently."""
    files = [str(pictures / name) for name in ("phantom1.jpg", "phantom2.png")]
    lines = [
        json.loads(line) for line in output_of(pi32.osteolite("predict", *files, "--format", "jsonl")).splitlines()
    ]
    here = FractureClassifier()
    assert [line["file"] for line in lines] == files
    for line in lines:
        assert line["fracture_probability"] == pytest.approx(
            here.predict(line["file"]).fracture_probability, abs=OLDER_KERNELS
        )


def test_doctor_reports_the_older_runtime_on_a_32_bit_board(pi32: Board) -> None:
    found = json.loads(output_of(pi32.osteolite("doctor", "--json")))
    assert found["works"] is True
    assert found["architecture"] == "armv7l"
    assert found["runtime"] == "tflite-runtime 2.14.0"


def write_dicom(path: Path, picture: Path) -> Path:
    """Write the picture as an uncompressed 12-bit radiograph."""
    pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom")
    pixels = np.asarray(Image.open(picture)).astype(np.uint16) << 4
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", pydicom.uid.generate_uid()
    data.Modality, data.PhotometricInterpretation, data.SamplesPerPixel = "DX", "MONOCHROME2", 1
    data.Rows, data.Columns = pixels.shape
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.PixelData = pixels.tobytes()
    data.save_as(path, enforce_file_format=True)
    return path
