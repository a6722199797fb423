"""Patient data does not leak."""

import logging
import struct
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import pydicom
import pytest

from osteolite.edge.errors import ImageError
from osteolite.edge.imaging.dicom.reader import HEAD
from osteolite.edge.imaging.radiograph import read_radiograph
from osteolite.edge.silence import muted

from .dicoms import ANY, ENDLESS, RAMP, before_the_pixels, dicom, element

MARK = "ZQXW^SECRET"
WITH_PATIENT = {
    "name": {"PatientName": MARK, "PatientID": MARK, "PatientComments": MARK, "InstitutionName": MARK},
    **{
        keyword: {keyword: MARK}
        for keyword in ("Modality", "PhotometricInterpretation", "SpecificCharacterSet", "VOILUTFunction")
    },
}
NUMBERS = ("WindowCenter", "RescaleSlope", "NumberOfFrames", "Rows", "PixelPaddingValue", "TransferSyntaxUID")


def with_patient() -> dict[str, bytes]:
    """Files with the mark as the patient's name and in elements that should not hold it."""
    name: Any = WITH_PATIENT["name"]
    with muted("pydicom"):
        found = {key: dicom(RAMP, **{**name, **elements}) for key, elements in WITH_PATIENT.items()}
    good = dicom(RAMP, **name, WindowCenter=1, WindowWidth=2, RescaleSlope=1, RescaleIntercept=0, NumberOfFrames=1)
    text = MARK.encode() + b" "
    for keyword in NUMBERS:
        tag = pydicom.tag.Tag(keyword)
        start = struct.pack("<HH", tag.group, tag.element)
        kind = b"UI" if keyword == "TransferSyntaxUID" else b"IS" if keyword == "NumberOfFrames" else b"DS"
        damaged = start + kind + struct.pack("<H", len(text)) + text
        if start in good:
            place = good.index(start, HEAD)
            end = place + 8 + struct.unpack("<H", good[place + 6 : place + 8])[0]
        else:
            place = end = good.index(b"\x28\0\x00\x01")
        found[keyword] = good[:place] + damaged + good[end:]
    found["cut"] = found["name"][: found["name"].index(b"\xe0\x7f\x10\0") + 500]
    sequence = element(0x0008, 0x1140, struct.pack("<HHI", 0xFFFE, 0xE000, ENDLESS) + text * 9, length=ENDLESS)
    found["sequence"] = before_the_pixels(good, sequence)
    return found


LOUD = """
import logging, sys, traceback
logging.basicConfig(level=logging.DEBUG)
import pydicom.config
pydicom.config.debug(True)
from osteolite.edge.imaging.radiograph import Limits, read_radiograph
for limits in (Limits(), Limits(modalities=None)):
    for path in sys.argv[1:]:
        try:
            read_radiograph(path, limits=limits)
            print("read")
        except Exception as error:
            while error is not None:
                traceback.print_exception(error)
                print(type(error).__name__, error, repr(error), vars(error))
                error = error.__cause__ or error.__context__
"""


def test_patient_data_is_not_printed_or_raised(tmp_path: Path) -> None:
    contents = with_patient()
    for number, content in enumerate(contents.values()):
        assert MARK.encode() in content
        (tmp_path / f"{number}.dcm").write_bytes(content)
    command = [sys.executable, "-W", "always", "-c", LOUD, *sorted(map(str, tmp_path.iterdir()))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "read" in done.stdout
    assert "Unreadable" in done.stdout
    assert "Unsupported" in done.stdout
    for part in MARK.split("^"):
        assert part not in done.stdout + done.stderr
    # Nor as hexadecimal numbers, in which pydicom logs bytes.
    assert MARK.encode().hex(" ") not in (done.stdout + done.stderr).lower()


@pytest.mark.parametrize("key", ["name", *NUMBERS, *list(WITH_PATIENT)[1:], "cut", "sequence"])
def test_reading_neither_warns_nor_logs(key: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            read_radiograph(with_patient()[key], limits=ANY)
        except ImageError as error:
            assert error.__context__ is None
    assert not caught
    assert not [record for record in caplog.records if record.name.startswith("pydicom")]


def test_muted_is_limited_to_its_block_and_thread(caplog: pytest.LogCaptureFixture) -> None:
    finished: list[bool] = []

    def other() -> None:
        with pytest.warns(UserWarning, match="aloud"):
            warnings.warn("aloud", UserWarning, stacklevel=1)
        logging.getLogger("pydicom").warning("logged aloud")
        finished.append(True)

    with muted("pydicom"):
        warnings.warn("in silence", UserWarning, stacklevel=1)
        logging.getLogger("pydicom").warning("logged in silence")
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    other()
    assert len(finished) == 2
    assert [record.message for record in caplog.records] == ["logged aloud"] * 2
