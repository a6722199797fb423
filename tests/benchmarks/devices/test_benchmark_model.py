"""Parsing the output of old and new builds of `benchmark_model`, as recorded in `recorded/`."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osteolite.benchmarks.devices.benchmark_model import read_launch, read_operators, read_verdict
from osteolite.edge.errors import DelegateUnavailable, DeviceError

RECORDED = Path(__file__).parents[1] / "recorded"
TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in sorted(RECORDED.glob("*.txt"))}


def test_a_recent_build_is_parsed() -> None:
    launch = read_launch(TEXTS["cpu"])
    assert launch.cold_start == {"load": 9.671, "first_invoke": 14.21}
    assert launch.quantiles == {"p5": 8.003, "p50": 8.087, "p95": 8.301, "mean": pytest.approx(8.10974)}
    assert (launch.runs, launch.warm_up, launch.steady) == (123, 61, True)
    assert launch.peak_mb == 21.3516


def test_a_build_without_quantiles_gives_only_the_mean() -> None:
    launch = read_launch(TEXTS["cpu_2020"])
    assert launch.quantiles == {"mean": 33.2094}
    assert launch.cold_start == {"load": 0.855, "first_invoke": 49.06}
    assert (launch.runs, launch.peak_mb) == (50, 12.8672)


def test_the_oldest_build_gives_its_first_inference_from_the_warm_up() -> None:
    launch = read_launch(TEXTS["cpu_2019"])
    assert launch.cold_start == {"load": 9.933, "first_invoke": 127.425}
    assert launch.quantiles == {"mean": 66.7676}
    assert launch.peak_mb is None


def test_equal_times_are_printed_as_one_value() -> None:
    assert read_launch(TEXTS["xnnpack_partial"]).cold_start == {"load": 614.333, "first_invoke": 905.463}
    same = TEXTS["cpu_2020"].replace(
        "count=50 first=32891 curr=33978 min=32641 max=34005 avg=33209.4 std=450", "count=3 curr=7(all same)"
    )
    launch = read_launch(same)
    assert launch.quantiles == {"p5": 0.007, "p50": 0.007, "p95": 0.007, "mean": 0.007}
    assert (launch.runs, launch.steady) == (3, True)


def test_scattered_times_are_not_steady() -> None:
    assert not read_launch(TEXTS["nnapi_full"]).steady  # 870 of 1885


def test_counts_of_the_profiler_are_not_times_of_the_model() -> None:
    assert read_launch(TEXTS["profile_xnnpack"]) == read_launch(TEXTS["cpu"])


@pytest.mark.parametrize("missing", ["Inference timings", "count=123", "Init: "])
def test_an_incomplete_output_is_refused(missing: str) -> None:
    text = TEXTS["cpu"]
    with pytest.raises(DeviceError, match="no timings"):
        read_launch(text[: text.index(missing)] if missing != "Init: " else text.replace("Init: ", "Start: "))


@pytest.mark.parametrize(
    ("text", "requested", "applied", "taken", "total", "reason"),
    [
        ("cpu", "", "xnnpack", 64, 66, ""),
        ("cpu_2020", "", "none", None, None, ""),
        ("cpu_kernels", "cpu", "none", None, None, ""),
        ("cpu", "cpu", "xnnpack", 64, 66, ""),  # a build that does not know how to leave it out
        ("xnnpack_full", "xnnpack", "xnnpack", 66, 66, ""),
        ("xnnpack_partial", "xnnpack", "xnnpack", None, None, "partial: 2 delegate kernels"),
        ("gpu_full", "gpu", "gpu", 49, 49, ""),
        ("gpu_partial", "gpu", "gpu", 294, 297, "partial: 2 delegate kernels"),
        ("nnapi_full", "nnapi", "nnapi", 66, 66, ""),
        ("nnapi_partial", "nnapi", "nnapi", None, None, "partial: 44 delegate kernels"),
    ],
)
def test_the_applied_delegate_is_read(
    text: str, requested: str, applied: str, taken: int | None, total: int | None, reason: str
) -> None:
    verdict = read_verdict(TEXTS[text], requested)
    assert (verdict.applied, verdict.operators_taken, verdict.operators, verdict.reason) == (
        applied,
        taken,
        total,
        reason,
    )


@pytest.mark.parametrize(
    ("text", "requested", "why"),
    [
        ("nnapi_not_applied", "nnapi", "the CPU ran the whole model"),
        ("nnapi_reference", "nnapi", "no driver for it, only nnapi-reference"),
        ("nnapi_reference_claims_all", "nnapi", "no driver for it, only nnapi-reference"),
        ("nnapi_2019", "nnapi", "too old to report what ran the model"),
        ("gpu_failed", "gpu", "Batch size mismatch"),
        ("gpu_not_applied", "gpu", "the CPU ran the whole model"),
        ("gpu_unsupported", "gpu", "built without it, or the phone does not support it"),
        ("gpu_full", "nnapi", "benchmark_model does not mention it"),
        ("nnapi_full", "gpu", "benchmark_model does not mention it"),
        ("cpu_2020", "xnnpack", "benchmark_model does not mention it"),
    ],
)
def test_a_time_of_the_cpu_is_never_taken_for_a_delegates(text: str, requested: str, why: str) -> None:
    with pytest.raises(DelegateUnavailable, match=why) as raised:
        read_verdict(TEXTS[text], requested)
    assert str(raised.value).startswith(f"{requested}: ")
    assert "\n" not in str(raised.value)


def test_each_subgraph_counts_once() -> None:
    messages = (
        "VERBOSE: Replacing {} node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 1 partitions for graph {}."
    )
    lines = [messages.format("1 out of 9", 0), messages.format("7 out of 9", 0), messages.format("2 out of 4", 1)]
    verdict = read_verdict("\n".join(["INFO: Created TensorFlow Lite XNNPACK delegate for CPU.", *lines]), "")
    assert (verdict.operators_taken, verdict.operators) == (9, 13)


def test_operators_are_sorted_by_time() -> None:
    operators = read_operators(TEXTS["profile_kernels"])
    assert [one["operator"] for one in operators[:2]] == ["CONV_2D", "DEPTHWISE_CONV_2D"]
    assert operators[0] == {
        "operator": "CONV_2D",
        "count": 36,
        "milliseconds": 15.912,
        "share": pytest.approx(0.702, abs=1e-3),
    }
    assert sum(one["share"] for one in operators) == pytest.approx(1, abs=1e-4)


def test_operators_inside_a_delegate_replace_its_kernel() -> None:
    assert {one["operator"]: one["count"] for one in read_operators(TEXTS["profile_xnnpack"])} == {
        "Convolution (NHWC, QC8) IGEMM": 19,
        "Convolution (NHWC, QC8) DWConv": 17,
        "Add (ND, QS8)": 10,
        "QUANTIZE": 1,
        "DEQUANTIZE": 1,
    }


def test_an_output_without_operators_is_refused() -> None:
    with pytest.raises(DeviceError, match="no table of operators"):
        read_operators(TEXTS["cpu"])


@given(st.data())
def test_a_damaged_output_is_parsed_or_refused(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(list(TEXTS.values())))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.sampled_from([0, 1, 2, 5, 40, 400])))
        put = data.draw(
            st.one_of(
                st.text(max_size=12), st.sampled_from(["9" * 400, "1e999", "-1", "nan", "count=", "\n", "avg=", ": "])
            )
        )
        text = text[:start] + put + text[end:]
    for read in (read_launch, read_operators):
        try:
            found = read(text)
        except DeviceError as error:
            assert len(str(error).splitlines()) == 1
            continue
        json.dumps(vars(found) if read is read_launch else found, allow_nan=False)
    for requested in ("", "cpu", "xnnpack", "gpu", "nnapi"):
        try:
            verdict = read_verdict(text, requested)
        except DelegateUnavailable as error:
            assert "\n" not in str(error)
        else:
            assert verdict.applied in (requested, "xnnpack", "none")


def test_numbers_that_are_not_finite_are_refused() -> None:
    with pytest.raises(DeviceError, match="not a valid time"):
        read_launch(TEXTS["cpu"].replace("median=8087", "median=1e999"))
    assert math.isfinite(read_launch(TEXTS["cpu"]).quantiles["p50"])
