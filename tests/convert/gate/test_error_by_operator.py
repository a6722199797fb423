"""The errors of a variant's operators against the float32 file."""

from dataclasses import replace

import numpy as np
import pytest

from osteolite.convert.gate.error_by_operator import largest_errors, operator_errors
from osteolite.convert.variants.variants import VARIANTS, Source


@pytest.mark.slow
def test_only_the_float32_file_has_no_error(files: dict[str, bytes], source: Source) -> None:
    inputs = source.calibration[:4]
    assert max(one.error for one in operator_errors(files["float32"], files["float32"], inputs)) == 0.0
    for name in ("int8", "int16x8", "dynamic", "weight_only_int8"):
        found = operator_errors(files["float32"], files[name], inputs)
        assert found[-1].error > 0.0
        assert all(0.0 <= one.added <= one.error for one in found)


@pytest.mark.slow
def test_the_operators_that_clip_have_the_largest_errors(source: Source) -> None:
    """With ranges from images that are far too faint, the first operators clip."""
    faint = replace(source, calibration=[tensor * np.float32(0.02) for tensor in source.calibration])
    found = operator_errors(source.float32, VARIANTS["int8"].write(faint), source.calibration[:4])
    assert max(one.added for one in largest_errors(found)) > 0.3
    assert "Conv1" in found[0].tensor
    assert found[0].added > 0.3
