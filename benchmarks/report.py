"""``python -m benchmarks.report``: put what the benchmarks found into docs/performance.md, and draw its picture.

Between ``<!-- NAME -->`` and ``<!-- /NAME -->`` in the document stands the table made from ``results/NAME.json``; what
is around it is written by hand. Results that are not there leave their place as it is.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import chart
from benchmarks.results import FOLDER

DOCS = Path(__file__).resolve().parent.parent / "docs"
DOCUMENT = DOCS / "performance.md"
PICTURES = DOCS / "performance"

Record = Mapping[str, Any]


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["--:" if heading else "---" for heading in headings], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def taken(facts: Record) -> str:
    """When and under what circumstances; under every table, because it differs from one to the next."""
    machine = facts["machine"]
    before = f"{machine['load_before']:.1f}" if "load_before" in machine else "not known"
    return (
        f"Taken {facts['taken'][:16].replace('T', ' ')} UTC on {machine['cores']} cores of {machine['processor']}, "
        f"nice {machine['nice']}; load average before it {before}, after it {machine['load']:.1f}."
    )


def runs(record: Record) -> str:
    """The span of the runs a median was taken of."""
    return f"{record['cpu_us']:.1f} ({min(record['cpu_us_runs']):.1f}-{max(record['cpu_us_runs']):.1f})"


def mix(facts: Record) -> str:
    found = facts["found"]
    rows = [
        [
            str(one["legs"]), str(one["rooms"]), str(one["talkers"]), one["codec"], runs(one),
            f"{one['mixing_us']:.1f}", f"{one['floor_us']:.1f}", f"{one['ratio']:.2f}", f"{one['core_share']:.0%}",
            f"{one['worst_gap_ms']:.0f}", f"{one['share_min']:.2%}",
            f"{one['verdict']['right']}/{one['verdict']['judged']}", f"{one['memory_mib']:.0f}",
        ]
        for one in found["loads"]
    ]  # fmt: skip
    headings = [
        "legs", "conferences", "talking in each", "codec", "µs a leg and tick (runs)", "of it mixing", "floor", "ratio",
        "of a core", "worst gap, ms", "frames, worst leg", "right mixes", "MiB",
    ]  # fmt: skip
    text = table(headings, rows)
    if idle := found.get("idle"):
        text += (
            f"\n\nWithout any leg: {idle['core_share']:.1%} of a core in all, {idle['mixer_share']:.1%} the busiest "
            f"mixer, {idle['memory_mib']:.0f} MiB."
        )
    return text


def stages(facts: Record) -> str:
    found = facts["found"]["loads"]
    names = list(found[0]["stages_us"])
    rows = [
        [str(one["legs"]), *(f"{one['stages_us'].get(name, 0):.2f}" for name in names), f"{one['cpu_us']:.1f}"]
        for one in found
    ]
    return mix(facts) + "\n\nµs a leg and tick, by the clock, so with what other programs took meanwhile:\n\n" + table(
        ["legs", *names, "CPU in all"], rows
    )


def peers(facts: Record) -> str:
    rows = []
    for one in facts["found"]:
        if "failed" in one:
            rows.append([one["version"], str(one["legs"]), "failed", *[""] * 7])
            continue
        delay = f"{one['delay_ms']:.0f}" if one["delay_ms"] is not None else "-"
        rows.append(
            [
                one["version"], str(one["legs"]), runs(one), f"{one['floor_us']:.1f}", f"{one['ratio']:.1f}",
                f"{one['worst_gap_ms']:.0f}", delay, f"{one['memory_mib']:.0f}", f"{one['share_min']:.2%}",
                f"{one['verdict']['right']}/{one['verdict']['judged']}",
            ]
        )  # fmt: skip
    chart.draw(facts["found"], PICTURES)
    headings = [
        "bridge", "legs", "µs a leg and tick (runs)", "floor", "ratio", "worst gap, ms", "delay, ms", "MiB",
        "frames, worst leg", "right mixes",
    ]  # fmt: skip
    return table(headings, rows)


def soak(facts: Record) -> str:
    one = facts["found"]
    late = {
        cause: sum(entry["ticks"] for entry in one["late"] if entry["cause"] == cause)
        for cause in ("own", "kill", "machine")
    }
    growth = one["memory_last_mib"] / one["memory_first_mib"] - 1 if one["memory_first_mib"] else 0
    rows = [
        ["time", f"{one['minutes']:g} min, {one['legs']} legs in at once, {one['rate']:g} a second come and go"],
        ["calls", f"{one['calls']}, {one['failed']} failed"],
        ["commands", f"{one['mutes']} mutes, {one['kicks']} kicks; {one['raced']} came too late"],
        ["mixers killed", ", ".join(f"after {kill:.0f} s" for kill in one["kills"]) or "none"],
        [
            "late ticks",
            f"{late['own']}; besides {late['kill']} around the kills, {late['machine']} while the machine was held up",
        ],
        [
            "the machine",
            f"held up {one['stalls']} times, {one['stall_worst_ms']:.0f} ms at worst; {one['steal_share']:.1%} stolen",
        ],
        ["memory", f"{one['memory_first_mib']:.1f} -> {one['memory_last_mib']:.1f} MiB ({growth:+.1%})"],
        ["call records", f"{one['records']}, {len(one['incomplete'])} incomplete"],
        ["not met", not_met(one["complaints"])],
    ]
    return facts_table(rows)


def sip(facts: Record) -> str:
    one = facts["found"]
    growth = one["memory_last_mib"] / one["memory_first_mib"] - 1 if one["memory_first_mib"] else 0
    return facts_table(
        [
            ["calls", f"{one['calls']} at {one['rate']:g} a second, {one['failed']} failed"],
            ["retransmissions", str(one["retransmissions"])],
            ["INVITE to 200", f"{one['setup_ms']:.1f} ms"],
            ["CPU a call", f"{one['cpu_ms_per_call']:.2f} ms, of it control {one['control_ms_per_call']:.2f} ms"],
            ["memory", f"{one['memory_first_mib']:.1f} -> {one['memory_last_mib']:.1f} MiB ({growth:+.1%})"],
            ["standing calls without media", f"{one['standing']} at {one['standing_cpu']:.1%} of a core"],
            ["not met", not_met(one["complaints"])],
        ]
    )


def not_met(complaints: Sequence[str]) -> str:
    """What criteria are not met; of a message that quotes a program's output only the beginning."""
    return "; ".join(re.split(r": The following|\n", one)[0].replace("|", "/") for one in complaints) or "nothing"


def facts_table(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {' | '.join(row)} |" for row in rows)])


TABLES: dict[str, Callable[[Record], str]] = {
    "mix-legs": mix,
    "mix-legs-engine": stages,
    "mix-talkers": mix,
    "mix-rooms": mix,
    "mix-codecs": mix,
    "mix-crowd": mix,
    "mix-one-core": mix,
    "peers": peers,
    "soak": soak,
    "sip": sip,
}


def fill(document: str, results: Mapping[str, Record]) -> str:
    """``document`` with the tables of ``results`` between their marks. Raises ValueError for a mark that is missing."""
    for name, facts in results.items():
        marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not marks.search(document):
            raise ValueError(f"there is no place for {name}")
        text = f"\n{TABLES[name](facts)}\n\n{taken(facts)}\n\n"
        document = marks.sub(lambda match, text=text: match[1] + text + match[2], document)  # type: ignore[misc]
    return document


def main() -> int:
    paths = {name: FOLDER / f"{name}.json" for name in TABLES}
    results = {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}
    DOCUMENT.write_text(fill(DOCUMENT.read_text(), results))
    missing = [name for name in TABLES if name not in results]
    print(f"{DOCUMENT}: {', '.join(results) or 'nothing'}")
    if missing:
        print(f"no results of {', '.join(missing)}: their places are as they were")
    return 0


if __name__ == "__main__":
    sys.exit(main())
