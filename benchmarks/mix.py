"""./veche bench mix: how many legs, how well, at what cost beside the kernel's own.

For each number of legs, phones in this process talk PCMU over real UDP to the server. Every leg must get its frames,
hear the talkers of its room and nobody else, itself included. Right afterwards the same phones exchange the same
packets with a process that only receives and sends them: that is the kernel's floor of the same run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from benchmarks import usage
from benchmarks.called import CalledServer
from benchmarks.engine import Engine, Floor
from benchmarks.phones import Heard, PhoneBank
from benchmarks.results import save
from benchmarks.server import ServerError
from benchmarks.tones import Seating, Verdict, judge
from mixer.protocol import Load

SHARE = 0.995
RATIO = 3.0
ATTEMPTS = 3
STALL = 0.15
"""Seconds this generator may stand still; else it is measured again, for the server cannot be blamed for it."""
RATIO_FROM = 800
"""Legs from which the ratio to the floor is a criterion: below, what a tick costs whatever its size weighs too much."""


class Target(Protocol):
    """What carries the phones' voices."""

    @property
    def pids(self) -> list[int]: ...

    def seat(self, seating: Seating, phones: PhoneBank) -> Sequence[tuple[str, int] | None]:
        """Bring the phones in; where each sends, None for one that did not get in."""

    def poll(self) -> object:
        """Called often while the phones talk."""

    def loads(self) -> list[Load]:
        """How the ticks fared since it was asked last."""

    def close(self) -> None: ...


@dataclass(frozen=True)
class Result:
    """One number of legs, measured."""

    legs: int
    rooms: int
    talkers: int
    seconds: float
    refused_calls: int
    share_min: float
    share_median: float
    worst_gap_ms: float
    duplicates: int
    verdict: Verdict
    cpu_us: float
    """CPU of the server's processes per leg and tick."""
    floor_us: float
    core_share: float
    memory_mib: float
    generator_late_ms: float
    spoilt: list[dict[str, float]]
    """Measurements before this one, put aside because the generator stood still in them."""
    tick_us: float
    tick_max_us: float
    late_ticks: int
    stages_us: dict[str, float]
    """Microseconds a leg and tick per stage, when asked for."""

    @property
    def ratio(self) -> float:
        return self.cpu_us / self.floor_us if self.floor_us else 0.0

    def complaints(self) -> list[str]:
        """The criteria that are not met, in words."""
        found = []
        if self.refused_calls:
            found.append(f"{self.refused_calls} calls did not come about")
        if self.share_min < SHARE:
            found.append(f"the worst leg got {self.share_min:.2%} of its frames (at least {SHARE:.1%})")
        for count, words in (
            (self.verdict.hear_themselves, "hear themselves"),
            (self.verdict.miss_someone, "do not hear a talker of their room"),
            (self.verdict.hear_strangers, "hear another room"),
        ):
            if count:
                found.append(f"{count} legs {words}")
        if self.legs >= RATIO_FROM and self.ratio > RATIO:
            found.append(f"{self.ratio:.2f} times the kernel's floor (at most {RATIO})")
        return found


def measure(seating: Seating, target: Target, lanes: int, seconds: float, warm: float) -> Result:
    """Run one number of legs on ``target`` and then on the floor."""
    phones = PhoneBank(seating.legs, seating.sound(), seating.plays())
    try:
        places = target.seat(seating, phones)
        phones.send_to(places)
        phones.run(warm, target.poll)
        spoilt: list[dict[str, float]] = []
        for _ in range(ATTEMPTS):
            target.loads()
            heard, cpu_us, core = _timed(phones, target.pids, seating.legs, seconds)
            if heard.late < STALL or len(spoilt) == ATTEMPTS - 1:
                break
            late_ms = round(heard.late * 1000)
            spoilt.append({"late_ms": late_ms, "share_min": float(heard.share.min()), "cpu_us": cpu_us})
        memory = usage.memory_mib(target.pids)
        loads = target.loads()
        target.close()
        floor = Floor(lanes, phones, seating.legs)
        try:
            phones.send_to(floor.destinations(seating.legs))
            phones.run(min(warm, 1.0))
            _, floor_us, _ = _timed(phones, floor.pids, seating.legs, seconds)
        finally:
            floor.close()
    finally:
        phones.close()
    share = sorted(heard.share)
    profiled = [load.stages_us for load in loads if load.stages_us]
    return Result(
        legs=seating.legs,
        rooms=seating.rooms,
        talkers=seating.talkers,
        seconds=seconds,
        refused_calls=sum(place is None for place in places),
        share_min=float(share[0]),
        share_median=float(share[len(share) // 2]),
        worst_gap_ms=round(float(heard.worst_gap.max()) * 1000, 1),
        duplicates=heard.duplicates,
        verdict=judge(seating, heard.audio),
        cpu_us=round(cpu_us, 2),
        floor_us=round(floor_us, 2),
        core_share=round(core, 4),
        memory_mib=round(memory, 1),
        generator_late_ms=round(heard.late * 1000, 1),
        spoilt=spoilt,
        tick_us=round(sum(load.tick_us for load in loads) / max(1, len(loads)), 1),
        tick_max_us=round(max((load.tick_max_us for load in loads), default=0.0), 1),
        late_ticks=sum(load.late_ticks for load in loads),
        stages_us={
            stage: round(sum(one.get(stage, 0.0) for one in profiled) / len(profiled) / seating.legs, 3)
            for stage in (profiled[0] if profiled else ())
        },
    )


def _timed(phones: PhoneBank, pids: list[int], legs: int, seconds: float) -> tuple[Heard, float, float]:
    """Measure, with the CPU of ``pids`` in microseconds per leg and tick and as a part of one core."""
    begun, before = time.perf_counter(), usage.cpu_seconds(pids)
    heard = phones.measure(seconds)
    taken, used = time.perf_counter() - begun, usage.cpu_seconds(pids) - before
    return heard, used / (taken * 50 * legs) * 1e6, used / taken


def show(result: Result) -> None:
    """One line of the table, further ones for what needs saying."""
    verdict = result.verdict
    print(
        f"{result.legs:5}  {result.share_min:8.2%}  {verdict.right:5}/{result.legs:<5}  {result.worst_gap_ms:6.0f}"
        f"  {result.cpu_us:8.2f}  {result.floor_us:6.2f}  {result.ratio:5.2f}  {result.core_share:6.1%}"
        f"  {result.tick_us / 1000:6.2f}  {result.tick_max_us / 1000:6.2f}  {result.memory_mib:6.0f}"
    )
    print(f"       talkers heard at {verdict.level_db[0]:+.1f} .. {verdict.level_db[1]:+.1f} dB; "
          f"generator at most {result.generator_late_ms:.0f} ms late")  # fmt: skip
    for one in result.spoilt:
        print(
            f"       PUT ASIDE and measured again: the generator stood still for {one['late_ms']:.0f} ms; "
            f"worst frames {one['share_min']:.2%}, CPU {one['cpu_us']:.2f} us"
        )
    if result.stages_us:
        stages = "  ".join(f"{stage} {us:.2f}" for stage, us in result.stages_us.items())
        print(f"       us a leg and tick: {stages}")
    for complaint in result.complaints():
        print(f"       NOT MET: {complaint}")
    sys.stdout.flush()


HEADINGS = (
    " legs     worst   right mixes     gap  CPU us/    floor  ratio    core    tick    tick  memory\n"
    "         frames                    ms  leg,tick     us             used  ms mean  ms max     MiB"
)


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./veche bench mix", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", action="store_true", help="a mixer process alone, without SIP and control")
    parser.add_argument("--legs", default="100,400,800", help="numbers of legs, comma-separated (%(default)s)")
    parser.add_argument("--room", type=int, default=10, help="legs a room (%(default)s)")
    parser.add_argument("--talkers", type=int, default=2, help="of them talking (%(default)s)")
    parser.add_argument("--seconds", type=float, default=10, help="measured for each number of legs (%(default)s)")
    parser.add_argument("--warm", type=float, default=3, help="seconds before measuring (%(default)s)")
    parser.add_argument("--lanes", type=int, default=8, help="shared media sockets (%(default)s)")
    parser.add_argument("--stages", action="store_true", help="with --engine: the cost of each stage of the tick")
    parser.add_argument("--json", type=Path, help="where to keep the results (benchmarks/results/)")
    return parser.parse_args(arguments)


def open_target(chosen: argparse.Namespace, folder: Path) -> Target:
    if chosen.engine:
        return Engine(chosen.lanes, stages=chosen.stages)
    return CalledServer(folder, chosen.lanes, chosen.room)


def main() -> int:
    chosen = options()
    usage.steady()
    try:
        return run(chosen)
    except (RuntimeError, ServerError) as error:
        print(error)
        return 1


def run(chosen: argparse.Namespace) -> int:
    """Measure every number of legs; 1 when a criterion is not met."""
    results = []
    if chosen.stages and not chosen.engine:
        print("--stages needs --engine: only a mixer driven directly reports them")
        return 2
    print(HEADINGS, flush=True)
    for legs in map(int, chosen.legs.split(",")):
        with tempfile.TemporaryDirectory(prefix="veche-bench-") as folder:
            target = open_target(chosen, Path(folder))
            try:
                seating = Seating(legs, chosen.room, chosen.talkers)
                results.append(measure(seating, target, chosen.lanes, chosen.seconds, chosen.warm))
            finally:
                target.close()
        show(results[-1])
    name = "mix-engine" if chosen.engine else "mix"
    print(f"kept in {save(name, [{**asdict(one), 'ratio': round(one.ratio, 2)} for one in results], chosen.json)}")
    return int(any(result.complaints() for result in results))


if __name__ == "__main__":
    sys.exit(main())
