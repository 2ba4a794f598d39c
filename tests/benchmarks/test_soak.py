"""What bench soak makes of what it saw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.called import FIRST_NUMBER
from benchmarks.soak import Late, Places, Report, check_records, compare_memory, explain_late

FIGURES: dict[str, Any] = {"packets_received": 1}
LEG = {
    "id": "leg", "started": "t", "answered": "t", "ended": "t", "end_kind": "remote", "end_reason": "hung up",
    "codec": "PCMU", "figures": FIGURES,
}  # fmt: skip


def _report(**fields: Any) -> Report:
    return Report(minutes=5, legs=300, rate=5, **fields)


@pytest.mark.parametrize(
    ("at", "cause"),
    [(99.0, "own"), (100.5, "kill"), (103.0, "kill"), (110.0, "own"), (151.0, "machine"), (154.0, "own")],
)
def test_a_late_tick_is_the_servers_own_unless_a_kill_or_the_machine_explains_it(at: float, cause: str) -> None:
    report = _report(kills=[100.0], late=[Late(at, 3)])
    explain_late(report, [(150.0, 0.03)])
    assert report.late[0].cause == cause
    assert bool(report.complaints) == (cause == "own")


def _memory(*mib: float) -> list[tuple[float, int, float, float]]:
    """A look every four seconds of five minutes; ``mib`` of equal parts of that time."""
    return [(at, 300, mib[int(at * len(mib) // 300)], 50.0) for at in range(0, 300, 4)]


@pytest.mark.parametrize(("last", "right"), [(200, True), (205, True), (207, False), (190, False)])
def test_memory_is_flat_within_three_percent(last: float, right: bool) -> None:
    report = _report(memory=_memory(120, 200, 200, last))
    compare_memory(report, 300, 60)
    assert (report.memory_first_mib, report.memory_last_mib) == (200, last)
    assert (report.complaints == []) == right


def test_memory_is_not_compared_before_sip_has_forgotten_the_first_calls() -> None:
    report = _report(memory=_memory(120, 120, 120))
    compare_memory(report, 150, 60)
    assert "too short" in report.complaints[0]


class _Records:
    """Two pages of call records."""

    def __init__(self, *pages: list[dict[str, Any]]) -> None:
        self._pages = pages

    def request(self, method: str, path: str) -> dict[str, Any]:
        page = int(path.partition("cursor=")[2] or 0)
        return {"items": self._pages[page], "next_cursor": str(page + 1) if page + 1 < len(self._pages) else None}


def test_records_are_counted_over_all_pages() -> None:
    report = _report(calls=3)
    check_records(_Records([LEG, LEG], [LEG]), ["one"], report)
    assert (report.records, report.complaints) == (3, [])


@pytest.mark.parametrize("name", ["started", "ended", "end_kind", "end_reason", "codec", "figures"])
def test_a_record_without_its_end_or_its_figures_is_incomplete(name: str) -> None:
    report = _report(calls=2)
    check_records(_Records([LEG, {**LEG, name: None}]), ["one"], report)
    assert name in report.incomplete[0]
    assert report.complaints


def test_a_call_without_a_record_is_noticed() -> None:
    report = _report(calls=2)
    check_records(_Records([LEG]), ["one"], report)
    assert report.complaints == ["1 call records of 2 calls"]


def test_phones_follow_the_log_of_calls(tmp_path: Path) -> None:
    log = tmp_path / "answers.log"
    places = Places(tmp_path, 3)
    assert not places.follow()
    log.write_text(f"{FIRST_NUMBER} 127.0.0.1 4000\n{FIRST_NUMBER + 2} 127.0.0.1 4002\n{FIRST_NUMBER} le")
    assert places.follow()
    assert places.of == [("127.0.0.1", 4000), None, ("127.0.0.1", 4002)]
    with log.open("a") as more:
        more.write(f"aves\n{FIRST_NUMBER + 2} out\n")
    assert places.follow()
    assert places.of == [None, None, None]
