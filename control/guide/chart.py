"""The guide's state table as a Mermaid chart: ``python -m control.guide.chart`` puts it into docs/voice-guide.md."""

from __future__ import annotations

import sys
from pathlib import Path

from control.guide.table import FINAL, TABLE, State, Trigger

PAGE = Path(__file__).resolve().parents[2] / "docs" / "voice-guide.md"
BEGIN, END = "<!-- chart: python -m control.guide.chart -->\n", "<!-- end of chart -->\n"


def draw() -> str:
    """The chart between its markers."""
    lines = ["```mermaid", "stateDiagram-v2", "    direction TB", f"    [*] --> {State.GREETING}"]
    for state, row in TABLE.items():
        said = f" ({', '.join(row.says)})" if row.says else ""
        lines.append(f"    {state} : {state.replace('_', ' ')}{said}")
        ways: dict[State, list[Trigger]] = {}
        for trigger, to in row.exits.items():
            ways.setdefault(to, []).append(trigger)
        lines += [f"    {state} --> {to} : {' / '.join(triggers)}" for to, triggers in ways.items()]
        if state in FINAL:
            lines.append(f"    {state} --> [*]")
    return BEGIN + "\n".join([*lines, "```", ""]) + END


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
