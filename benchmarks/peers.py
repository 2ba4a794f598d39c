"""./veche bench peers: the same load on Veche and on other bridges that are installed, in one table.

G.711 in packets of 20 ms, ten legs a conference, two of them sending voice. Leg 0 sends a burst of 40 ms every second
and leg 1 notes when it hears that: the delay. Each bridge is measured beside the kernel's floor of the same moment.
Known are Janus AudioBridge (Debian package janus) and Asterisk ConfBridge (package asterisk, where there is one).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import asterisk, janus, usage
from benchmarks.called import CalledServer
from benchmarks.measure import Result, Target, Timing, measure
from benchmarks.results import save
from benchmarks.server import ServerError
from benchmarks.tones import Seating

ROOM = 10
TALKERS = 2
LANES = 8
GOOD_SHARE = 0.98
"""A bridge that gives its legs less of their frames is not carrying them: its cost is then not comparable."""


@dataclass(frozen=True)
class Peer:
    """A bridge that may be here."""

    name: str
    installed: Callable[[], bool]
    version: Callable[[], str]
    start: Callable[[Path], Target]


PEERS = (
    Peer("Veche", lambda: True, lambda: "Veche", lambda folder: CalledServer(folder, LANES, ROOM)),
    Peer("Janus AudioBridge", lambda: janus.plugins() is not None, janus.version, janus.Janus),
    Peer("Asterisk ConfBridge", asterisk.installed, asterisk.version, asterisk.Asterisk),
)


def measure_peer(peer: Peer, legs: int, timing: Timing) -> Result:
    """One load on one bridge. Raises ServerError or RuntimeError when it does not come up or takes no calls."""
    with tempfile.TemporaryDirectory(prefix="veche-bench-") as folder:
        target = peer.start(Path(folder))
        try:
            return measure(Seating(legs, ROOM, TALKERS, burst=True), target, LANES, timing)
        finally:
            target.close()


def show(name: str, result: Result) -> None:
    delay = f"{result.delay_ms:6.0f}" if result.delay_ms is not None else "     -"
    verdict = result.verdict
    print(
        f"{name:24} {result.legs:5}  {result.cpu_us:8.2f}  {result.floor_us:6.2f}  {result.ratio:5.1f}"
        f"  {result.worst_gap_ms:6.0f}  {delay}  {result.memory_mib:6.0f}  {result.share_min:8.2%}"
        f"  {verdict.right:5}/{verdict.judged}"
    )
    for one in result.spoilt:
        print(f"       PUT ASIDE: the generator stood still for {one['late_ms']:.0f} ms")
    sys.stdout.flush()


HEADINGS = (
    "bridge                    legs   CPU us/   floor  ratio     gap   delay  memory     worst  right mixes\n"
    "                                leg,tick      us             ms      ms     MiB    frames"
)


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./veche bench peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--legs", default="100,200,400,800", help="numbers of legs, comma-separated (%(default)s)")
    parser.add_argument("--seconds", type=float, default=4, help="of each run (%(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="measured of each load (%(default)s)")
    parser.add_argument("--warm", type=float, default=3, help="seconds before measuring (%(default)s)")
    parser.add_argument("--json", type=Path, help="where to keep the results (benchmarks/results/)")
    return parser.parse_args(arguments)


def main() -> int:
    """Measure every bridge that is here; 1 when Veche is not the cheapest of those that carry their legs."""
    chosen = options()
    usage.steady()
    timing = Timing(chosen.seconds, chosen.runs, chosen.warm)
    here = []
    for peer in PEERS:
        if peer.installed():
            here.append(peer)
        else:
            print(f"skipped: {peer.name} is not installed on this machine")
    print(HEADINGS, flush=True)
    found: list[dict[str, object]] = []
    wrong: list[str] = []
    for legs in map(int, chosen.legs.split(",")):
        costs: dict[str, float] = {}
        for peer in here:
            try:
                result = measure_peer(peer, legs, timing)
            except (ServerError, RuntimeError) as error:
                print(f"{peer.name:24} {legs:5}  FAILED: {error}", flush=True)
                found.append({"bridge": peer.name, "version": peer.version(), "legs": legs, "failed": str(error)})
                continue
            show(peer.name, result)
            found.append({"bridge": peer.name, "version": peer.version(), **result.record()})
            if result.share_min >= GOOD_SHARE:
                costs[peer.name] = result.cpu_us
        wrong += cheaper(costs, legs)
    for complaint in wrong:
        print(f"NOT MET: {complaint}")
    print(f"kept in {save('peers', found, chosen.json)}")
    return int(bool(wrong))


def cheaper(costs: dict[str, float], legs: int) -> list[str]:
    """Complaints when a bridge that carries its legs costs less than Veche, or Veche does not carry them."""
    ours = costs.pop("Veche", None)
    if ours is None:
        return [f"Veche does not carry {legs} legs"]
    return [
        f"{name} carries {legs} legs at {cost:.1f} us a leg and tick, Veche at {ours:.1f}"
        for name, cost in costs.items()
        if cost < ours
    ]


if __name__ == "__main__":
    sys.exit(main())
