"""The benchmarks say which criteria are not met, and the report puts what they found into the document."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from benchmarks import report
from benchmarks.chart import draw
from benchmarks.measure import Idle, Result
from benchmarks.mix import SERIES, complaints, idle_complaints, loads, options
from benchmarks.peers import cheaper
from benchmarks.tones import Verdict

GOOD = Result(
    legs=800, rooms=80, talkers=2, codec="PCMU", seconds=4, runs=3, refused_calls=0, share_min=1, share_median=1,
    worst_gap_ms=30, duplicates=0, verdict=Verdict(800, 800, 0, 0, 0, (0, 0)), cpu_us=9, cpu_us_runs=[8, 9, 10],
    mixing_us=8, floor_us=5, floor_us_runs=[5], core_share=0.4, memory_mib=200, delay_ms=None, generator_late_ms=1,
    spoilt=[], tick_us=1, tick_max_us=1, late_ticks=0, stages_us={}, warnings="",
)  # fmt: skip
MACHINE = {"processor": "P", "cores": 2, "nice": -10, "load_before": 0.5, "load": 1.5}


def _with(**fields: Any) -> Result:
    return dataclasses.replace(GOOD, **fields)


def test_a_good_result_meets_all_criteria() -> None:
    assert complaints(GOOD) == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"refused_calls": 1}, "did not come about"),
        ({"share_min": 0.9}, "of its frames"),
        ({"verdict": Verdict(799, 800, 1, 0, 0, (0, 0))}, "hear themselves"),
        ({"cpu_us": 10.1}, "floor"),
        ({"legs": 100, "rooms": 10, "cpu_us": 20.1}, "20 from 100 legs on"),
        ({"codec": "OPUS", "legs": 200, "rooms": 10, "talkers": 3, "cpu_us": 60.1}, "with Opus"),
        ({"legs": 2000, "rooms": 200, "worst_gap_ms": 61}, "a gap of"),
    ],
)
def test_what_is_beyond_a_criterion_is_said(fields: dict[str, Any], words: str) -> None:
    (complaint,) = complaints(_with(**fields))
    assert words in complaint


def test_a_crowd_is_compared_with_conferences_of_ten() -> None:
    ten, crowd = _with(legs=1000, rooms=100, cpu_us=8.0), _with(legs=1000, rooms=1, talkers=3, cpu_us=9.3)
    assert "1.16 times" in complaints(crowd, ten)[0]
    assert complaints(_with(legs=1000, rooms=1, talkers=3, cpu_us=9.1), ten) == []


def test_an_idle_mixer_may_take_two_percent() -> None:
    assert idle_complaints(Idle(10, 0.05, 0.02, 100)) == []
    assert idle_complaints(Idle(10, 0.05, 0.021, 100))


def test_opus_is_measured_with_twenty_in_a_room_unless_told_otherwise() -> None:
    assert loads(options(["--codec", "OPUS"])) == {"mix-own": [SERIES["codecs"][3]]}
    assert loads(options([])) == {"mix-legs": SERIES["legs"]}
    assert list(loads(options(["--series", "crowd,rooms", "--engine"]))) == ["mix-crowd-engine", "mix-rooms-engine"]


def test_a_bridge_that_carries_its_legs_for_less_is_named() -> None:
    assert cheaper({"Veche": 10, "Other": 20}, 100) == []
    assert "Other" in cheaper({"Veche": 10, "Other": 9}, 100)[0]
    assert cheaper({"Other": 20}, 100) == ["Veche does not carry 100 legs"]


def _peers() -> list[dict[str, Any]]:
    results = [_with(legs=legs, cpu_us=cost, delay_ms=20) for legs, cost in ((100, 20), (400, 9))]
    return [{"bridge": "Veche", "version": "Veche", **result.record()} for result in results]


def test_the_report_replaces_what_is_between_the_marks_and_nothing_else() -> None:
    document = "before\n<!-- mix-legs -->\nold\n<!-- /mix-legs -->\nafter\n"
    facts = {"taken": "2026-11-22T14:00:00", "machine": MACHINE, "found": {"loads": [GOOD.record()]}}
    filled = report.fill(document, {"mix-legs": facts})
    assert filled.startswith("before\n<!-- mix-legs -->\n")
    assert filled.endswith("<!-- /mix-legs -->\nafter\n")
    assert "old" not in filled
    assert "| 800 | 80 | 2 | PCMU | 9.0 (8.0-10.0) |" in filled
    assert "load average before it 0.5, after it 1.5" in filled
    assert report.fill(filled, {"mix-legs": facts}) == filled


def test_what_is_not_met_stands_in_the_report_in_one_line() -> None:
    assert report.not_met([]) == "nothing"
    assert report.not_met(["2 calls failed: The following events occurred:\nx | y", "leak"]) == "2 calls failed; leak"


def test_the_report_needs_a_place_for_each_result() -> None:
    with pytest.raises(ValueError, match="no place for soak"):
        report.fill("nothing here", {"soak": {}})


def test_the_document_has_a_place_for_every_table() -> None:
    document = report.DOCUMENT.read_text()
    assert [name for name in report.TABLES if f"<!-- {name} -->\n" not in document] == []


def test_the_picture_is_the_same_for_the_same_figures(tmp_path: Path) -> None:
    svg, png = draw([*_peers(), {"bridge": "Broken", "legs": 100, "failed": "no"}], tmp_path)
    first = svg.read_bytes()
    assert b"the kernel" in first or b"<path" in first
    assert png.read_bytes().startswith(b"\x89PNG")
    draw(_peers(), tmp_path)
    assert svg.read_bytes() == first
