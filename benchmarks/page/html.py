"""Write benchmarks as one self-contained HTML page: conditions, plots, and a table of all results."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osteolite.edge.atomic import write_text

from ..analysis.results_file import result_names

if TYPE_CHECKING:
    from .drawing import Drawn
    from .plots import Shown

Result = dict[str, Any]  # an entry of "results", see `analysis.summary`

# Conditions that are not versions of packages.
_OTHERS = {
    "machine",
    "architecture",
    "cores",
    "system",
    "load_average",
    "started",
    "seconds",
    "before",
    "during",
    "after",
}
_STATES = {"governor": "governor {}", "frequency_mhz": "{} MHz", "temperature_c": "{} °C"}


def write_page(found: dict[str, dict[str, Any]], path: Path) -> None:
    """Write results as an HTML page, whole or not at all.

    Args:
        found: results by name, as `find_results` returns them. Their content is shown as plain text.
        path: of the page.
    """
    import jinja2

    from .plots import Shown

    machines = [str(one["conditions"].get("machine") or one["device"]) for one in found.values()]
    shown = [
        Shown(machine if machines.count(machine) == 1 else f"{machine}, {name}", one, result_names(one["results"]))
        for machine, (name, one) in zip(machines, found.items(), strict=True)
    ]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("osteolite.benchmarks.page"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("benchmark.html").render(
        runs=[_run(name, one) for name, one in zip(found, shown, strict=True)], sections=_sections(shown)
    )
    write_text(path, page)


def _sections(shown: "Sequence[Shown]") -> list[tuple[str, str, "list[Drawn]"]]:
    """The title, explanation and plots of each section that has plots."""
    from . import plots, side_by_side

    def each(paint: "Callable[[Shown], Drawn | None]") -> "list[Drawn | None]":
        return [paint(one) for one in shown]

    sections: list[tuple[str, str, list[Drawn | None]]] = [
        (
            "Quality against latency",
            "No valid result beats a result on the Pareto front in both. An arrow marks a value below the scale.",
            each(plots.trade_off),
        ),
        ("Size", "", [side_by_side.sizes(shown)]),
        (
            "Distribution of latency",
            "All invocations after the warm-up, from all launches.",
            each(plots.latencies),
        ),
        ("Threads", "Both scales are logarithmic, so parallel lines mean equal scaling.", each(plots.scaling)),
        ("Devices side by side", "", [side_by_side.devices(shown)]),
        (
            "Peers",
            "Compared with Osteolite launch by launch, on the same file and threads; values above 1 are slower.",
            each(side_by_side.peers),
        ),
    ]
    return [(title, text, drawn) for title, text, painted in sections if (drawn := [one for one in painted if one])]


def _run(name: str, shown: "Shown") -> dict[str, Any]:
    """The template's values for one benchmark."""
    results, about = shown.found["results"], shown.found["conditions"]
    named = list(zip(shown.names, results, strict=True))
    return {
        "name": name,
        "title": shown.title,
        "conditions": _conditions(shown.found),
        "versions": ", ".join(f"{key} {value}" for key, value in about.items() if _is_version(key, value)),
        "alarms": _alarms(about),
        "valid": sum(one["valid"] for one in results),
        "count": len(results),
        "left_out": [*shown.found["left_out"].items(), *_without_batch(named)],
        "columns": [title for title, _ in _columns(results)],
        "rows": [(one["valid"], [show(name, one) for _, show in _columns(results)]) for name, one in named],
        "invalid": [(_titled(name, one), "; ".join(one["reasons"])) for name, one in named if not one["valid"]],
        "profiles": [(_titled(name, one), _table(one["operators"])) for name, one in named if one.get("operators")],
        "scenarios": [
            (_titled(name, one), _table([{"scenario": key, **value} for key, value in one["scenarios"].items()]))
            for name, one in named
            if one.get("scenarios")
        ],
    }


def _conditions(found: dict[str, Any]) -> list[str]:
    """The machine and its state as phrases."""
    about = found["conditions"]
    words = [
        f"Measured as {found['device']}",
        str(about.get("architecture") or ""),
        _unit(about.get("cores"), "cores"),
        str(about.get("system") or ""),
    ]
    words += [_state(about, key, form) for key, form in _STATES.items()]
    if load := about.get("load_average"):
        words.append(f"load {', '.join(f'{value:g}' for value in load)} before the start")
    if found["images"]:
        words.append(f"predictions on {found['images']} labelled images")
    if about.get("started"):
        words.append(f"started {str(about['started'])[:16].replace('T', ' ')} UTC")
    if about.get("seconds") is not None:
        words.append(f"took {about['seconds']:.0f} seconds")
    return [word for word in words if word]


def _state(about: dict[str, Any], key: str, form: str) -> str:
    """A value before and after the run; only one if they are equal or one is unknown."""
    states = [(about.get(moment) or {}).get(key) for moment in ("before", "after")]
    known = list(dict.fromkeys(str(value) for value in states if value is not None))
    return form.format(" to ".join(known)) if known else ""


def _unit(value: Any, unit: str) -> str:
    return "" if value is None else f"{value} {unit}"


def _is_version(key: str, value: Any) -> bool:
    return key not in _OTHERS and isinstance(value, str)


def _alarms(about: dict[str, Any]) -> list[str]:
    """What the device reported about heat, low voltage and its battery."""
    found = []
    for moment in ("before", "after"):
        state = about.get(moment) or {}
        found += [f"{word} ({moment})" for word in state.get("throttled") or []]
        found += [f"on battery ({moment})"] if state.get("on_battery") else []
    return found


def _columns(results: list[Result]) -> list[tuple[str, Callable[[str, Result], str]]]:
    """The titles of the table's columns and functions for their cells. Columns without any text are left out."""
    columns: list[tuple[str, Callable[[str, Result], str]]] = [
        ("variant", lambda name, one: name),
        ("threads", lambda name, one: str(one["threads"])),
        ("p50 ms", lambda name, one: _number(_invoke(one).get("p50"), 2)),
        ("95 % interval", lambda name, one: _interval(_invoke(one).get("intervals", {}).get("p50"))),
        ("p90 ms", lambda name, one: _number(_invoke(one).get("p90"), 2)),
        ("p99 ms", lambda name, one: _number(_invoke(one).get("p99"), 2)),
        ("cold start ms", lambda name, one: _number(_cold_start(one), 0)),
        ("file to prediction ms", lambda name, one: _number((one["milliseconds"].get("whole") or {}).get("p50"), 1)),
        ("ms per image in a batch", lambda name, one: _batch(one.get("batch"))),
        ("mJ", lambda name, one: _number(one.get("millijoules"), 1)),
        ("MB", lambda name, one: f"{one['bytes'] / 1e6:.2f}"),
        ("peak MB", lambda name, one: _number(one["peak_mb"], 0)),
        ("steady MB", lambda name, one: _number(one["steady_mb"], 0)),
        ("accuracy", lambda name, one: _number(one["accuracy"], 4)),
        ("AUROC", lambda name, one: _number(one["auroc"], 4)),
        ("engine", lambda name, one: one["runtime"] or one["engine"]),
        ("delegate requested → applied", lambda name, one: _delegate(one["delegate"])),
        ("valid", lambda name, one: "yes" if one["valid"] else "no"),
    ]
    return [(title, show) for title, show in columns if any(show("x", one) for one in results)]


def _invoke(one: Result) -> dict[str, Any]:
    return one["milliseconds"]["invoke"] or {}


def _cold_start(one: Result) -> float | None:
    """The time from the start of the process to its first output, or as much of it as is known."""
    steps: dict[str, float | None] = one["milliseconds"]["cold_start"]
    known = [value for step, value in steps.items() if value is not None and step != "process"]
    return steps["process"] if steps.get("process") is not None else sum(known) if known else None


def _delegate(about: dict[str, Any]) -> str:
    """The requested and the applied delegate, for example "gpu → xnnpack, 62 of 65 operators"."""
    text = " → ".join(filter(None, [about["asked"], about["applied"]]))
    counted = about.get("operators") or {}
    if counted.get("taken") is None:
        return text
    return f"{text}, {counted['taken']}" + (f" of {counted['of']}" if counted["of"] is not None else "") + " operators"


def _batch(batch: dict[str, Any] | None) -> str:
    spent = (batch or {}).get("milliseconds")
    return f"{spent:.2f} of {batch['size']}" if batch and spent is not None else ""


def _without_batch(named: list[tuple[str, Result]]) -> list[tuple[str, str]]:
    """The results without a batch measurement, and why."""
    return [
        (f"{_titled(name, one)}, batch of {one['batch']['size']}", one["batch"]["reason"])
        for name, one in named
        if (one.get("batch") or {}).get("reason")
    ]


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _interval(ends: list[float] | None) -> str:
    return f"{ends[0]:,.2f} to {ends[1]:,.2f}" if ends else ""


def _titled(name: str, one: Result) -> str:
    return f"{name}, {one['threads']} thread{'s' if one['threads'] != 1 else ''}"


def _table(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The columns, in the order in which the rows first name them, and the cells as text."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return {
        "columns": [key.replace("_", " ") for key in columns],
        "rows": [[_text(row.get(key)) for key in columns] for row in rows],
    }


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
