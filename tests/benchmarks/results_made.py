"""Synthetic results of benchmarks in schema 2, with times from a fixed seed."""

import copy
from typing import Any

import numpy as np

Result = dict[str, Any]

# Milliseconds on one thread of a desktop, MB, AUROC: typical of MobileNetV2 at 224 pixels.
VARIANTS = {
    "float32": (14.8, 8.97, 0.9229),
    "float16": (14.9, 4.59, 0.9229),
    "dynamic": (31.0, 2.55, 0.9214),
    "int8": (8.0, 2.73, 0.9201),
    "int8_int8": (7.9, 2.73, 0.9188),
    "int8_uint8": (8.1, 2.73, 0.9186),
    "selective_int8": (8.6, 2.79, 0.9226),
    "qat_int8": (8.0, 2.74, 0.9233),
    "pruned_int8": (8.0, 2.73, 0.9160),
    "clustered_int8": (8.1, 2.73, 0.9141),
    "weight_only_int8": (15.6, 2.62, 0.9227),
    "weight_only_int4": (16.4, 1.61, 0.8472),
    "int16x8": (290.0, 2.92, 0.9230),
}
PEERS = {"plain": 1.02, "mediapipe": 1.31, "onnxruntime": 1.08}
NASTY = '<script>alert(1)</script>$\\frac{$ & "quoted" [red]\u8108.tflite'


def entry(
    variant: str = "int8", threads: int = 1, launches: tuple[float, ...] = (5.0, 5.1, 4.9), **over: Any
) -> Result:
    """An entry of "results"; `over` replaces fields."""
    invoke = _invoke(launches) if launches else None
    p50 = invoke["p50"] if invoke else 0.0
    whole = {"p50": p50 * 1.2, "p90": p50 * 1.4, "p99": p50 * 1.9, "runs": 580} if invoke else None
    return {
        "file": f"wrist_{variant}.tflite",
        "variant": variant,
        "device": "local",
        "threads": threads,
        "bytes": 2_730_000,
        "engine": "osteolite",
        "runtime": "ai-edge-litert 2.3.0",
        "delegate": {"asked": "default", "applied": "xnnpack", "operators": {"taken": 62, "of": 65}, "reason": ""},
        "milliseconds": {
            "cold_start": {"import": 102.3, "load": 41.0, "first_invoke": 22.0, "process": 214.6},
            "invoke": invoke,
            "read": whole,
            "preprocess": whole,
            "whole": whole,
        },
        "warm_up": 10,
        "peak_mb": 95.9,
        "steady_mb": 81.2,
        "accuracy": 0.89483,
        "auroc": 0.92012,
        "batch": None,
        "scenarios": None,
        "millijoules": None,
        "operators": None,
        "relative": None,
        "foreign_cores": 0.01,
        "valid": True,
        "reasons": [],
        **over,
    }


def _invoke(launches: tuple[float, ...]) -> Result:
    p50 = float(np.exp(np.log(launches).mean()))
    spread = np.quantile(np.outer(launches, [0.96, 0.98, 1, 1.03, 1.2]), np.arange(0, 1.001, 0.025))
    return {
        "p50": p50,
        "p90": p50 * 1.08,
        "p99": p50 * 1.4,
        "runs": 200 * len(launches),
        "intervals": {"p50": [p50 * 0.98, p50 * 1.02]},
        "launches": list(launches),
        "distribution": [round(float(value), 3) for value in spread],
    }


def state(**over: Any) -> Result:
    """The state of a machine at one moment."""
    quiet = {"governor": "performance", "frequency_mhz": 2500, "temperature_c": 48.5, "throttled": []}
    return {**quiet, "throttle_count": None, "on_battery": False, **over}


def result(entries: list[Result], device: str = "local", **conditions: Any) -> Result:
    """A whole file; `conditions` replaces some of its conditions."""
    return {
        "schema": 2,
        "device": device,
        "conditions": {
            "machine": "Intel(R) Xeon(R) CPU @ 2.50GHz",
            "architecture": "x86_64",
            "cores": 2,
            "system": "Linux-6.12-x86_64-with-glibc2.36",
            "python": "3.11.7",
            "osteolite": "0.1.0",
            "numpy": "2.4.6",
            "ai-edge-litert": "2.3.0",
            "load_average": [0.12, 0.2, 0.31],
            "started": "2026-11-20T09:30:00+00:00",
            "seconds": 412.5,
            "before": state(),
            "after": state(temperature_c=61.0),
            **conditions,
        },
        "images": 580,
        "left_out": {},
        "results": [{**one, "device": device} for one in entries],
    }


def desktop() -> Result:
    """Every variant and three peers, some of them not valid, with a profile and scenarios."""
    random = np.random.default_rng(0)
    entries = _entries(random, 1.0, {1: 1.0, 2: 0.55})
    for threads, share in ((1, 1.0), (2, 0.55)):
        for engine, ratio in PEERS.items():
            peer = entry(
                "float32",
                threads,
                _launches(random, 14.8 * share * ratio),
                engine=engine,
                auroc=0.9207,
                bytes=8_970_000,
            )
            low, high = ratio * 0.98, ratio * 1.025
            peer["relative"] = {"to": "wrist_float32.tflite", "ratio": ratio, "low": low, "high": high}
            entries.append(peer)
    operators = [("CONV_2D", 35, 6.1), ("DEPTHWISE_CONV_2D", 17, 1.2), ("ADD", 10, 0.4), ("MEAN", 1, 0.1)]
    entries[6]["operators"] = [
        {"type": name, "count": count, "milliseconds": spent, "share": round(spent / 7.8, 3)}
        for name, count, spent in operators
    ]
    entries[6]["scenarios"] = {
        "SingleStream": {"p90_ms": 8.412, "queries": 73211, "seconds": 600.0, "complete": True, "ended": ""},
        "Offline": {"samples_per_second": 228.1, "samples": 13690, "seconds": 60.0, "complete": False, "ended": "x"},
    }
    entries[6]["batch"] = {"size": 8, "milliseconds": 6.9}
    entries[8]["batch"] = {"size": 8, "reason": "the network's operators hold the size of its input"}
    found = result(entries)
    found["left_out"] = {"openvino": "not installed", "wrist_int16x8.tflite, gpu": "the accelerator takes no int16"}
    return found


def _entries(random: np.random.Generator, slower: float, threads: dict[int, float]) -> list[Result]:
    entries = []
    for variant, (spent, megabytes, auroc) in VARIANTS.items():
        for count, share in threads.items():
            launches = _launches(random, spent * slower * share)
            ours = entry(variant, count, launches, bytes=round(megabytes * 1e6), auroc=auroc)
            if variant in ("pruned_int8", "dynamic") and count == 2:
                why = ["not quiet: other programs kept up to 0.92 cores busy; 0.1 is allowed"]
                ours |= {"valid": False, "reasons": [*why, "unsteady: invocations became 9% slower within a launch"]}
            entries.append(ours)
    return entries


def _launches(random: np.random.Generator, around: float) -> tuple[float, ...]:
    return tuple(round(float(value), 3) for value in around * np.exp(random.normal(0, 0.02, 5)))


def board() -> Result:
    """A Raspberry Pi over ssh that overheated."""
    entries = _entries(np.random.default_rng(1), 5.2, {1: 1.0, 2: 0.56, 4: 0.36})
    hot = state(governor="ondemand", frequency_mhz=1200, temperature_c=82.1, throttled=["soft temperature limit"])
    before = state(governor="ondemand", frequency_mhz=1500, temperature_c=51.1)
    about = {"machine": "Raspberry Pi 4 Model B Rev 1.5", "architecture": "aarch64", "cores": 4, "before": before}
    return result(entries, "ssh://pi@board", **about, system="Linux-6.12-aarch64-with-glibc2.41", after=hot)


def phone() -> Result:
    """An Android phone, which reports only quantiles and makes no predictions."""
    entries = _entries(np.random.default_rng(2), 1.9, {1: 1.0, 4: 0.34})
    for one in entries:
        invoke = one["milliseconds"]["invoke"]
        invoke |= {"p90": None, "p99": None, "distribution": []}
        one["milliseconds"] |= {"read": None, "preprocess": None, "whole": None, "cold_start": {"load": 310.0}}
        one |= {"accuracy": None, "auroc": None, "steady_mb": None, "runtime": "benchmark_model"}
    about = {"machine": "Pixel 7", "architecture": "arm64-v8a", "cores": 8, "system": "Android 15"}
    untold = dict.fromkeys(state())
    found = result(entries, "adb", **about, before=untold, after={**untold, "on_battery": True}, load_average=None)
    found["images"] = 0
    return found


def realistic() -> dict[str, Result]:
    """Three devices by file name, as `find_results` returns them."""
    return {"desktop/benchmark.json": desktop(), "phone/benchmark.json": phone(), "pi4/benchmark.json": board()}


def hostile() -> dict[str, Result]:
    """A file with markup in every text."""
    found = copy.deepcopy({NASTY: desktop()})
    for one in found[NASTY]["results"]:
        one |= {"file": NASTY, "variant": NASTY, "runtime": NASTY, "valid": False, "reasons": [NASTY]}
        one["delegate"] = {"asked": NASTY, "applied": NASTY, "operators": None, "reason": NASTY}
        if one["relative"]:
            one["relative"]["to"] = NASTY
    found[NASTY]["results"][6]["operators"] = [{NASTY: NASTY}]
    found[NASTY]["results"][6]["scenarios"] = {NASTY: {NASTY: NASTY}}
    found[NASTY]["left_out"] = {NASTY: NASTY}
    found[NASTY]["conditions"] |= dict.fromkeys(("machine", "system", "python", NASTY), NASTY)
    found[NASTY]["conditions"]["after"] = state(governor=NASTY, throttled=[NASTY])
    return found
