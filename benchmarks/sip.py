"""./veche bench sip: calls set up and torn down, calls that stand, and whether memory stays where it is.

sipp calls conferences of a server of this benchmark's own: first some calls, then the rest at the same rate, with the
server's memory compared after each; then many calls stand at once, without media. No call may fail.
"""

from __future__ import annotations

import argparse
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks import usage
from benchmarks.phones import open_socket
from benchmarks.results import save
from benchmarks.server import Server, ServerError
from benchmarks.sipp import Caller, Calls, Outcome

GROWTH = 1.05
"""Memory after all calls over memory after the first ones, at most."""
SETTLE = 35.0
"""Seconds between the last BYE and a look at memory: as long as SIP must remember a call (RFC 3261 timer J)."""
FIRST_NUMBER = 375290000000
FIRST_ADDRESS = 0x7F020001


@dataclass
class Report:
    """What was measured; ``complaints`` are the criteria not met."""

    rate: float
    calls: int = 0
    failed: int = 0
    retransmissions: int = 0
    setup_ms: float = 0.0
    cpu_ms_per_call: float = 0.0
    control_ms_per_call: float = 0.0
    memory_first_mib: float = 0.0
    memory_last_mib: float = 0.0
    standing: int = 0
    standing_cpu: float = 0.0
    standing_memory_mib: float = 0.0
    complaints: list[str] = field(default_factory=list)

    def judge(self, outcome: Outcome, what: str) -> None:
        if outcome.failed:
            self.complaints.append(f"{outcome.failed} of {what} failed: {outcome.errors or 'no word from sipp'}")


class Bench:
    """The phases, on one server."""

    def __init__(self, server: Server, folder: Path, chosen: argparse.Namespace, sink: int) -> None:
        self._server = server
        self._folder = folder
        self._chosen = chosen
        self.report = Report(rate=chosen.rate)
        seats = -(-max(chosen.standing, round(chosen.rate * chosen.pause * 4)) // chosen.rooms) + 10
        self._rooms = [server.create_conference(f"Room {i}", seats)["number"] for i in range(chosen.rooms)]
        self._sink = sink

    def _callers(self, direction: str) -> list[Caller]:
        """As many different people as may stand, spread over the rooms; each with an address of his own for media."""
        return [
            Caller(
                dials=self._rooms[i % len(self._rooms)],
                number=str(FIRST_NUMBER + i),
                media=(socket.inet_ntoa((FIRST_ADDRESS + i).to_bytes(4, "big")), self._sink),
                direction=direction,
            )
            for i in range(max(self._chosen.standing, 1000))
        ]

    def come_and_go(self, count: int) -> float:
        """``count`` calls at the chosen rate; the server's memory once they are over, MiB."""
        report, chosen, server = self.report, self._chosen, self._server
        before, control = usage.cpu_seconds(server.pids), usage.cpu_seconds(server.control)
        callers = self._callers("sendrecv" if chosen.media else "inactive")
        calls = Calls(self._folder, server.sip, callers, count, chosen.rate, chosen.pause)
        outcome = calls.wait()
        used = usage.cpu_seconds(server.pids) - before
        weight = count / (report.calls + count)
        done = max(1, outcome.successful)  # a refused call costs less: it must not make the others look cheap
        report.cpu_ms_per_call += (used / done * 1000 - report.cpu_ms_per_call) * weight
        used = usage.cpu_seconds(server.control) - control
        report.control_ms_per_call += (used / done * 1000 - report.control_ms_per_call) * weight
        report.setup_ms += (outcome.setup_ms - report.setup_ms) * weight
        report.calls += count
        report.failed += outcome.failed
        report.retransmissions += outcome.retransmissions
        report.judge(outcome, f"{count} calls")
        time.sleep(SETTLE)
        memory = usage.private_mib(server.pids)
        print(
            f"{report.calls:6} calls at {chosen.rate:g}/s: {outcome.failed} failed, {outcome.retransmissions} "
            f"retransmissions, answered in {outcome.setup_ms:.1f} ms, memory {memory:.1f} MiB",
            flush=True,
        )
        return memory

    def stand(self) -> None:
        """All callers at once, none with media."""
        report, chosen, server = self.report, self._chosen, self._server
        ramp = chosen.standing / chosen.rate
        hold = ramp + 15
        callers = self._callers("inactive")[: chosen.standing]
        calls = Calls(self._folder, server.sip, callers, chosen.standing, chosen.rate, hold)
        deadline = time.monotonic() + ramp + 10
        while len(calls.answers()) < chosen.standing and time.monotonic() < deadline and calls.running:
            time.sleep(0.2)
        report.standing = int(server.request("GET", "/api/v1/status")["participants_in"])
        if report.standing != chosen.standing:
            report.complaints.append(f"{report.standing} of {chosen.standing} calls stand")
        before, begun = usage.cpu_seconds(server.pids), time.monotonic()
        time.sleep(5)
        report.standing_cpu = (usage.cpu_seconds(server.pids) - before) / (time.monotonic() - begun)
        report.standing_memory_mib = usage.memory_mib(server.pids)
        print(
            f"{report.standing:6} calls stand: {report.standing_cpu:.1%} of a core, "
            f"memory {report.standing_memory_mib:.1f} MiB",
            flush=True,
        )
        report.judge(calls.wait(), f"{chosen.standing} standing calls")

    def run(self) -> Report:
        report, chosen = self.report, self._chosen
        first = min(chosen.first, chosen.calls)
        report.memory_first_mib = report.memory_last_mib = self.come_and_go(first)
        if chosen.calls > first:
            report.memory_last_mib = self.come_and_go(chosen.calls - first)
        growth = report.memory_last_mib / report.memory_first_mib
        print(
            f"{report.cpu_ms_per_call:.2f} ms of CPU a successful call, {report.control_ms_per_call:.2f} of them "
            f"signalling and control, the rest mixing; memory {growth - 1:+.1%} from call {first} "
            f"to call {chosen.calls}",
            flush=True,
        )
        if growth > GROWTH:
            report.complaints.append(f"memory grew by {growth - 1:.1%} (at most {GROWTH - 1:.0%})")
        if chosen.standing:
            self.stand()
        return report


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./veche bench sip", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=200, help="calls a second (%(default)s)")
    parser.add_argument("--calls", type=int, default=20_000, help="in all (%(default)s)")
    parser.add_argument("--first", type=int, default=2_000, help="calls before the first look at memory (%(default)s)")
    parser.add_argument("--standing", type=int, default=2_000, help="calls up at once (%(default)s; 0: leave that out)")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds a call stays up (%(default)s)")
    parser.add_argument("--rooms", type=int, default=20, help="conferences the calls go to (%(default)s)")
    parser.add_argument("--media", action="store_true", help="short calls are sent the conference's voice")
    parser.add_argument("--json", type=Path, help="where to keep the results (benchmarks/results/)")
    return parser.parse_args(arguments)


def main() -> int:
    chosen = options()
    usage.steady()
    sink = open_socket()  # takes what the server sends to callers that do not listen
    settings = {
        "VECHE_MEDIA__INACTIVITY_SECONDS": "600",  # nobody here sends a packet
        "VECHE_CONFERENCE__MAX_SEATS": "100000",
    }
    try:
        with tempfile.TemporaryDirectory(prefix="veche-bench-") as folder:
            with Server(Path(folder), settings=settings) as server:
                report = Bench(server, Path(folder), chosen, sink.getsockname()[1]).run()
            if said := server.complaints().strip():
                print(f"the server's warnings:\n{said}")
    except ServerError as error:
        print(error)
        return 1
    finally:
        sink.close()
    for complaint in report.complaints:
        print(f"NOT MET: {complaint}")
    print(f"kept in {save('sip', asdict(report), chosen.json)}")
    return int(bool(report.complaints))


if __name__ == "__main__":
    sys.exit(main())
