"""The guide's state table as a Mermaid chart: ``python -m control.guide.chart`` puts it into docs/voice-guide.md."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from control.guide.table import FINAL, TABLE, Row, State, Trigger

PAGE = Path(__file__).resolve().parents[2] / "docs" / "voice-guide.md"
BEGIN, END = "<!-- chart: python -m control.guide.chart -->\n", "<!-- end of chart -->\n"


def draw() -> str:
    """The chart between its markers. States with the common time limit stand in a box, which has their common exits."""
    asking = {state: row for state, row in TABLE.items() if row.limited}
    common = _common(list(asking.values()))
    lines = [
        "```mermaid",
        "flowchart TD",
        f"    start([call]) --> {State.GREETING}",
        '    subgraph questions["questions"]',
    ]
    lines += [f"        {_box(state, row)}" for state, row in asking.items()]
    lines.append("    end")
    lines += [f"    {_box(state, row)}" for state, row in TABLE.items() if state not in asking]
    lines += _arrows("questions", common)
    for state, row in TABLE.items():
        own = {trigger: to for trigger, to in row.exits.items() if state not in asking or trigger not in common}
        lines += _arrows(state, own)
    return BEGIN + "\n".join([*lines, "```", ""]) + END


def _common(rows: list[Row]) -> dict[Trigger, State]:
    """The exits that all of them have."""
    return {t: to for t, to in rows[0].exits.items() if all(row.exits.get(t) is to for row in rows)}


def _box(state: State, row: Row) -> str:
    said = f"<br>“{', '.join(row.says)}”" if row.says else ""
    name = f'"{state.replace("_", " ")}{said}"'
    return f"{state}([{name}])" if state in FINAL else f"{state}[{name}]"


def _arrows(source: str, exits: Mapping[Trigger, State]) -> list[str]:
    """One arrow to each state, with all that leads there."""
    ways: dict[State, list[Trigger]] = {}
    for trigger, to in exits.items():
        ways.setdefault(to, []).append(trigger)
    return [f'    {source} -->|"{"<br>".join(triggers)}"| {to}' for to, triggers in ways.items()]


def insert(page: str) -> str:
    """The page with the chart renewed. Raises ValueError when it has no markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} has no place for the chart")
    return before + draw() + after


if __name__ == "__main__":
    PAGE.write_text(insert(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PAGE} written\n")
