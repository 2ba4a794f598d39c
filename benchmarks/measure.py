"""One load on one server: what the phones heard, what it cost, and the kernel's floor for the same packets."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Protocol

import numpy as np

from benchmarks import usage
from benchmarks.delay import delay_ms
from benchmarks.engine import Floor
from benchmarks.phones import Heard, PhoneBank
from benchmarks.tones import Seating, Verdict, judge
from mixer.protocol import Load

ATTEMPTS = 2
"""Windows measured beyond those asked for, at most, in place of those in which the generator stood still."""
STALL = 0.15
"""Seconds this generator may stand still; else it is measured again, for the server cannot be blamed for it."""


class Target(Protocol):
    """What carries the phones' voices."""

    @property
    def pids(self) -> list[int]: ...

    def seat(self, seating: Seating, phones: PhoneBank) -> Sequence[tuple[str, int] | None]:
        """Bring the phones in; where each sends, None for one that did not get in."""

    def poll(self) -> object:
        """Called often while the phones talk."""

    def loads(self) -> list[Load]:
        """How the ticks fared since it was asked last; nothing when that is not known."""

    def close(self) -> None: ...

    def warnings(self) -> str:
        """What it logged as such; to be asked after close()."""


@dataclass(frozen=True)
class Timing:
    """How long to measure: ``runs`` windows of ``seconds`` each, after ``warm`` seconds."""

    seconds: float
    runs: int
    warm: float


@dataclass(frozen=True)
class Window:
    """One stretch of talking."""

    heard: Heard
    cpu_us: float
    """CPU of the server's processes per leg and tick."""
    mixing_us: float
    """Of it what Veche's mixer processes took."""
    core_share: float


@dataclass(frozen=True)
class Result:
    """One load, measured. CPU figures are medians of the windows; gaps and missing frames are the worst of them."""

    legs: int
    rooms: int
    talkers: int
    """In each room."""
    codec: str
    seconds: float
    runs: int
    refused_calls: int
    share_min: float
    """Part of its frames that the worst leg got, of those that got in."""
    share_median: float
    worst_gap_ms: float
    duplicates: int
    verdict: Verdict
    cpu_us: float
    cpu_us_runs: list[float]
    mixing_us: float
    floor_us: float
    floor_us_runs: list[float]
    core_share: float
    memory_mib: float
    delay_ms: float | None
    """From a phone's mouth to another's ear, packets' own 20 ms not counted; when a burst was asked for."""
    generator_late_ms: float
    spoilt: list[dict[str, float]]
    """Windows put aside because the generator stood still in them."""
    tick_us: float
    tick_max_us: float
    late_ticks: int
    stages_us: dict[str, float]
    """Microseconds a leg and tick per stage, when asked for."""
    warnings: str

    @property
    def ratio(self) -> float:
        return self.cpu_us / self.floor_us if self.floor_us else 0.0

    @property
    def room(self) -> int:
        """Legs in each room."""
        return -(-self.legs // self.rooms)

    def record(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": round(self.ratio, 2)}


def measure(seating: Seating, target: Target, lanes: int, timing: Timing) -> Result:
    """Put one load on ``target``, close it, then put it on the floor."""
    streams, plays = seating.streams()
    phones = PhoneBank(seating.legs, streams, plays, watch=1 if seating.burst else None)
    try:
        places = target.seat(seating, phones)
        phones.send_to(places)
        phones.run(timing.warm, target.poll)
        target.loads()
        windows, spoilt = _windows(phones, target, timing)
        memory = usage.memory_mib(target.pids)
        loads = target.loads()
        target.close()
        floor = _floor(phones, lanes, timing)
    finally:
        phones.close()
    absent = [leg for leg, place in enumerate(places) if place is None]
    heard = [window.heard for window in windows]
    shares = [np.delete(one.share, absent) for one in heard]
    costs = [round(window.cpu_us, 2) for window in windows]
    profiled = [load.stages_us for load in loads if load.stages_us]
    return Result(
        legs=seating.legs,
        rooms=seating.rooms,
        talkers=seating.talkers,
        codec=seating.codec,
        seconds=timing.seconds,
        runs=len(windows),
        refused_calls=len(absent),
        share_min=min(float(share.min(initial=1)) for share in shares),
        share_median=round(median(float(median(share)) if len(share) else 0.0 for share in shares), 4),
        worst_gap_ms=round(max(float(one.worst_gap.max()) for one in heard) * 1000, 1),
        duplicates=sum(one.duplicates for one in heard),
        verdict=judge(seating, heard[-1], absent),
        cpu_us=round(median(costs), 2),
        cpu_us_runs=costs,
        mixing_us=round(median(window.mixing_us for window in windows), 2),
        floor_us=round(median(floor), 2),
        floor_us_runs=floor,
        core_share=round(median(window.core_share for window in windows), 4),
        memory_mib=round(memory, 1),
        delay_ms=delay_ms(heard, phones.formats[1]) if seating.burst else None,
        generator_late_ms=round(max(one.late for one in heard) * 1000, 1),
        spoilt=spoilt,
        tick_us=round(sum(load.tick_us for load in loads) / max(1, len(loads)), 1),
        tick_max_us=round(max((load.tick_max_us for load in loads), default=0.0), 1),
        late_ticks=sum(load.late_ticks for load in loads),
        stages_us={
            stage: round(sum(one.get(stage, 0.0) for one in profiled) / len(profiled) / seating.legs, 3)
            for stage in (profiled[0] if profiled else ())
        },
        warnings=target.warnings(),
    )


def _windows(phones: PhoneBank, target: Target, timing: Timing) -> tuple[list[Window], list[dict[str, float]]]:
    windows: list[Window] = []
    spoilt: list[dict[str, float]] = []
    while len(windows) < timing.runs:
        window = _timed(phones, target.pids, timing.seconds)
        target.poll()
        if window.heard.late >= STALL and len(spoilt) < ATTEMPTS:
            late_ms, share = round(window.heard.late * 1000), float(window.heard.share.min())
            spoilt.append({"late_ms": late_ms, "share_min": share, "cpu_us": round(window.cpu_us, 2)})
        else:
            windows.append(window)
    return windows, spoilt


def _floor(phones: PhoneBank, lanes: int, timing: Timing) -> list[float]:
    """CPU per leg and tick of a process that only receives and sends, for each window."""
    floor = Floor(lanes, phones, phones.count)
    try:
        phones.send_to(floor.destinations(phones.count))
        phones.run(min(timing.warm, 1.0))
        return [round(_timed(phones, floor.pids, timing.seconds).cpu_us, 2) for _ in range(timing.runs)]
    finally:
        floor.close()


def _timed(phones: PhoneBank, pids: list[int], seconds: float) -> Window:
    mixers = usage.running("mixer.process", pids)
    begun, before, mixed = time.perf_counter(), usage.cpu_seconds(pids), usage.cpu_seconds(mixers)
    heard = phones.measure(seconds)
    taken, used, mixed = (
        time.perf_counter() - begun,
        usage.cpu_seconds(pids) - before,
        usage.cpu_seconds(mixers) - mixed,
    )
    per_leg = 1e6 / (taken * 50 * phones.count)
    return Window(heard, used * per_leg, mixed * per_leg, used / taken)


@dataclass(frozen=True)
class Idle:
    """A server nobody has called."""

    seconds: float
    core_share: float
    """All its processes, of one core."""
    mixer_share: float
    """The busiest of them that mixes."""
    memory_mib: float


def measure_idle(target: Target, seconds: float, settle: float) -> Idle:
    """What ``target`` costs while nothing happens, ``settle`` seconds after it came up."""
    time.sleep(settle)
    pids = target.pids
    mixers = usage.running("mixer.process", pids)
    before = [usage.cpu_seconds(pids), *(usage.cpu_seconds([pid]) for pid in mixers)]
    begun = time.perf_counter()
    time.sleep(seconds)
    taken = time.perf_counter() - begun
    after = [usage.cpu_seconds(pids), *(usage.cpu_seconds([pid]) for pid in mixers)]
    used = [round((now - then) / taken, 4) for then, now in zip(before, after, strict=True)]
    return Idle(seconds, used[0], max(used[1:], default=0.0), round(usage.memory_mib(pids), 1))
