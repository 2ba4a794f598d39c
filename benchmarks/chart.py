"""The picture of bench peers: cost per leg against the number of legs, with the kernel's floor, as SVG and PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

COLOURS = {"Veche": "#0f5f62", "Janus AudioBridge": "#b4552d", "Asterisk ConfBridge": "#7a4b94"}
FLOOR_COLOUR = "#7d8a88"
INK = "#1b2526"
CARRIED = 0.98
"""A bridge whose worst leg gets less of its frames is drawn as a hollow mark: it does not carry that many."""


def draw(found: Sequence[Mapping[str, Any]], folder: Path, name: str = "cost") -> list[Path]:
    """Write ``name``.svg and .png; where they are. ``found``: what bench peers keeps."""
    measured = [one for one in found if "failed" not in one]
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for bridge in dict.fromkeys(one["bridge"] for one in measured):
        rows = sorted((one for one in measured if one["bridge"] == bridge), key=lambda one: int(one["legs"]))
        colour = COLOURS.get(bridge, INK)
        legs, costs = [row["legs"] for row in rows], [row["cpu_us"] for row in rows]
        axes.plot(legs, costs, color=colour, linewidth=2, label=rows[0]["version"])
        for row in rows:
            full = row["share_min"] >= CARRIED
            axes.plot(row["legs"], row["cpu_us"], "o", color=colour, markerfacecolor=colour if full else "white")
    floor = floors(measured)
    axes.plot(list(floor), list(floor.values()), color=FLOOR_COLOUR, linestyle="--", label="the kernel's floor")
    axes.set_xlabel("legs, ten a conference, two talking, G.711")
    axes.set_ylabel("CPU a leg and tick, µs")
    axes.set_xticks(list(floor))
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="#dfe6e4")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="center right")
    folder.mkdir(parents=True, exist_ok=True)
    mpl.rcParams["svg.hashsalt"] = "veche"  # the same figures give the same file
    paths = [folder / f"{name}.svg", folder / f"{name}.png"]
    figure.savefig(paths[0], metadata={"Date": None})
    figure.savefig(paths[1], dpi=160)
    return paths


def floors(measured: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """By number of legs: the median of the floors measured beside the bridges."""
    legs = sorted({int(one["legs"]) for one in measured})
    return {count: median(one["floor_us"] for one in measured if one["legs"] == count) for count in legs}
