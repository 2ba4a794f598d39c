"""./veche bench soak: hundreds of legs that come and go for a long time, mutes, kicks, and mixers that are killed.

Callers keep joining and leaving by SIP at the same rate, people are muted and put out over REST, and twice a mixer
gets SIGKILL. Once everybody is there, memory must stay where it is (from the first tenth on, and not before SIP has
forgotten the first calls), no tick may be late but around the kills, no call may fail, and every call record must be
complete.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from benchmarks import usage
from benchmarks.called import FIRST_NUMBER
from benchmarks.phones import PhoneBank
from benchmarks.results import save
from benchmarks.server import Server, ServerError
from benchmarks.sipp import Caller, Calls
from benchmarks.stalls import Watch
from benchmarks.tones import Seating

SCENARIO = Path(__file__).with_name("soak.xml")
ROOM = 10
SPARE = 1.4
"""So many phones for each that is in at once: one is not called in again before its last call is long over."""
FORGOTTEN = 70.0
"""Seconds after the last phone came in from which on memory is looked at: SIP remembers a call for 32 of them."""
MEMORY_GROWTH = 0.03
LOOK = 0.4
MEMORY_LOOK = 4.0
COMPARED = 25.0
"""Seconds whose median is compared with that of as many at the end."""
ACT = 0.7
KICK_SHARE = 0.25
KICK_AGE = (5.0, 40.0)
"""Seconds a leg is in when it is put out: who is about to leave anyway would send his BYE at the same moment."""
KILL_SECONDS = 2.0
REPORT_SECONDS = 1.5
"""A mixer's report is of the second before, and is looked at some time later."""


@dataclass
class Late:
    """Late ticks of one mixer in one second."""

    at: float
    """Seconds since the beginning."""
    ticks: int
    cause: str = "own"
    """``own``, ``kill``, or ``machine``: a process that did nothing was held up at the same time."""


@dataclass
class Report:
    """What was found; ``complaints`` are the criteria not met."""

    minutes: float
    legs: int
    rate: float
    calls: int = 0
    failed: int = 0
    mutes: int = 0
    kicks: int = 0
    raced: int = 0
    """Commands for somebody who had just left."""
    kills: list[float] = field(default_factory=list)
    late: list[Late] = field(default_factory=list)
    stalls: int = 0
    stall_worst_ms: float = 0.0
    steal_share: float = 0.0
    """Part of the time the hypervisor gave this machine's cores to others."""
    memory_first_mib: float = 0.0
    memory_last_mib: float = 0.0
    control_first_mib: float = 0.0
    control_last_mib: float = 0.0
    memory: list[tuple[float, int, float, float]] = field(default_factory=list)
    """Seconds, legs, MiB of all, MiB of control; memory of their own, without what other programs share with them."""
    records: int = 0
    incomplete: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @property
    def growth(self) -> float:
        return self.memory_last_mib / self.memory_first_mib - 1 if self.memory_first_mib else 0.0


class Api(Protocol):
    """What of a Server the records are asked of."""

    def request(self, method: str, path: str) -> Any: ...


class Meddler(threading.Thread):
    """Looks at the server, gives commands over REST and kills mixers, beside the phones."""

    def __init__(self, server: Server, report: Report, rooms: Sequence[str], kills: Sequence[float]) -> None:
        super().__init__(daemon=True)
        self.stop = threading.Event()
        self.error: Exception | None = None
        self._server = server
        self._report = report
        self._rooms = rooms
        self._kills = list(kills)
        self._random = random.Random(1)
        self._begun = time.monotonic()
        self._seen: dict[int, tuple[int, int]] = {}

    def run(self) -> None:
        next_act, next_memory = 0.0, 0.0
        try:
            while not self.stop.wait(LOOK):
                now = time.monotonic() - self._begun
                legs = self._look(now)
                if now >= next_act:
                    next_act = now + ACT
                    self._act()
                if now >= next_memory:
                    next_memory = now + MEMORY_LOOK
                    self._note_memory(now, legs)
                if self._kills and now >= self._kills[0]:
                    self._kills.pop(0)
                    self._kill()
        except Exception as error:  # told by the main thread, which would not notice else
            self.error = error

    def _look(self, now: float) -> int:
        """Note late ticks; how many legs there are."""
        status = self._server.request("GET", "/api/v1/status")
        for place, mixer in enumerate(status["mixers"]):
            mark = (mixer["packets_received"], mixer["packets_sent"])
            late = mixer["late_ticks"] + mixer["skipped_ticks"]
            if self._seen.get(place) != mark and late and mixer["legs"]:
                self._report.late.append(Late(round(now, 2), late))
            self._seen[place] = mark
        return int(status["calls"])

    def _act(self) -> None:
        """Mute or unmute somebody, or put him out."""
        people = f"/api/v1/conferences/{self._random.choice(self._rooms)}/participants"
        there = [person for person in self._server.request("GET", people)["items"] if person["state"] == "joined"]
        if not there:
            return
        if self._random.random() < KICK_SHARE:
            there = [person for person in there if KICK_AGE[0] < _age(person) < KICK_AGE[1]]
            action = "kick"
        else:
            action = ""
        if there:
            person = self._random.choice(there)
            action = action or ("unmute" if person["muted"] else "mute")
            try:
                self._server.request("POST", f"{people}/{person['id']}/{action}")
            except ServerError as error:
                if not any(f": {status} " in str(error) for status in (404, 409)):
                    raise
                self._report.raced += 1
                return
            if action == "kick":
                self._report.kicks += 1
            else:
                self._report.mutes += 1

    def _note_memory(self, now: float, legs: int) -> None:
        every, control = usage.private_mib(self._server.pids), usage.private_mib(self._server.control)
        self._report.memory.append((round(now, 1), legs, round(every, 1), round(control, 1)))

    def _kill(self) -> None:
        mixers = usage.running("mixer.process", self._server.pids)
        os.kill(max(mixers, key=lambda pid: usage.cpu_seconds([pid])), signal.SIGKILL)
        self._report.kills.append(round(time.monotonic() - self._begun, 2))


def _age(person: dict[str, Any]) -> float:
    """Seconds since he joined."""
    return (datetime.now(UTC) - datetime.fromisoformat(person["joined"])).total_seconds() if person["joined"] else 0.0


class Places:
    """Where each phone sends, as sipp's log tells of calls that begin and end."""

    def __init__(self, folder: Path, count: int) -> None:
        self._path = folder / "answers.log"
        self._at = 0
        self.of: list[tuple[str, int] | None] = [None] * count

    def follow(self) -> bool:
        """Read what is new; whether anything is."""
        if not self._path.exists():
            return False
        with self._path.open() as log:
            log.seek(self._at)
            text = log.read()
        whole = text[: text.rfind("\n") + 1]
        self._at += len(whole)
        for line in whole.splitlines():
            words = line.split()
            if len(words) >= 2:
                phone = int(words[0]) - FIRST_NUMBER
                self.of[phone] = (words[1], int(words[2])) if len(words) == 3 else None
        return bool(whole)


def soak(server: Server, folder: Path, chosen: argparse.Namespace, watch: Watch) -> Report:
    """The whole of it on one server."""
    report = Report(chosen.minutes, chosen.legs, chosen.rate)
    seconds, stay = chosen.minutes * 60, chosen.legs / chosen.rate
    report.calls = round(seconds * chosen.rate)
    count = round(chosen.legs * SPARE)
    seating = Seating(count, round(count / (chosen.legs / ROOM)), 2)
    rooms = [
        server.create_conference(f"Room {room}", seating.room + 5, minutes=round(chosen.minutes) + 30)
        for room in range(seating.rooms)
    ]
    phones = PhoneBank(count, *seating.streams())
    callers = [
        Caller(rooms[room]["number"], str(FIRST_NUMBER + leg), phones.address(leg))
        for leg, room in enumerate(seating.room_of().tolist())
    ]
    random.Random(2).shuffle(callers)  # so that rooms fill and empty alike
    scenario = folder / "soak.xml"
    scenario.write_text(SCENARIO.read_text().replace("STAY_MS", str(round(stay * 1000))))
    steal, begun = usage.steal_seconds(), time.monotonic()
    calls = Calls(folder, server.sip, callers, report.calls, chosen.rate, stay, scenario=scenario)
    kills = [seconds * (one + 1) / (chosen.kills + 1) for one in range(chosen.kills)]
    meddler = Meddler(server, report, [room["id"] for room in rooms], kills)
    places = Places(calls.folder, count)

    def follow() -> None:
        if places.follow():
            phones.send_to(places.of)

    try:
        meddler.start()
        while time.monotonic() < begun + seconds and meddler.error is None:
            phones.run(0.25)
            follow()
        meddler.stop.set()
        meddler.join()
        deadline = time.monotonic() + stay + 20
        while calls.running and time.monotonic() < deadline and meddler.error is None:
            phones.run(0.25)
            follow()
    finally:
        meddler.stop.set()
        outcome = calls.outcome() if not calls.running else None
        calls.stop()
        phones.close()
    if meddler.error:
        raise meddler.error
    report.steal_share = round((usage.steal_seconds() - steal) / (time.monotonic() - begun) / (os.cpu_count() or 1), 4)
    outcome = outcome or calls.outcome()
    report.failed = outcome.failed
    if outcome.failed:
        report.complaints.append(f"{outcome.failed} of {report.calls} calls failed: {outcome.errors}")
    time.sleep(3)  # records are written in batches
    check_records(server, [room["id"] for room in rooms], report)
    explain_late(report, [(when - begun, late) for when, late in watch.stalls() if when > begun])
    compare_memory(report, seconds, stay)
    return report


def check_records(server: Api, conferences: Sequence[str], report: Report) -> None:
    """Every call has a record; every record start, answer, end, reason, codec and figures."""
    for conference in conferences:
        cursor = ""
        while True:
            page = server.request("GET", f"/api/v1/conferences/{conference}/legs?limit=500{cursor}")
            for leg in page["items"]:
                report.records += 1
                missing = [
                    name
                    for name in ("started", "answered", "ended", "end_kind", "end_reason", "codec", "figures")
                    if leg[name] is None
                ]
                if missing:
                    report.incomplete.append(f"{leg['id']} ({leg['end_kind']}): no {', '.join(missing)}")
            if not page["next_cursor"]:
                break
            cursor = f"&cursor={page['next_cursor']}"
    if report.records != report.calls:
        report.complaints.append(f"{report.records} call records of {report.calls} calls")
    if report.incomplete:
        report.complaints.append(f"{len(report.incomplete)} records are incomplete, e.g. {report.incomplete[0]}")


def explain_late(report: Report, stalls: Sequence[tuple[float, float]]) -> None:
    """Tell late ticks around kills, and those when the machine was held up, from the server's own."""
    report.stalls = len(stalls)
    report.stall_worst_ms = round(max((late for _, late in stalls), default=0.0) * 1000, 1)
    for one in report.late:
        begun = one.at - REPORT_SECONDS
        if any(kill - LOOK <= one.at and begun <= kill + KILL_SECONDS for kill in report.kills):
            one.cause = "kill"
        elif any(begun <= when and when - late <= one.at for when, late in stalls):
            one.cause = "machine"
    own = [one for one in report.late if one.cause == "own"]
    if own:
        report.complaints.append(f"{sum(one.ticks for one in own)} late ticks, e.g. {own[0].at:.0f} s after the start")


def compare_memory(report: Report, seconds: float, stay: float) -> None:
    """The median of the first seconds that count with that of the last, when as many legs are in."""
    first = max(seconds / 10, stay + FORGOTTEN)
    begin = [entry for entry in report.memory if first <= entry[0] < first + COMPARED]
    end = [entry for entry in report.memory if seconds - COMPARED <= entry[0]]
    if not begin or not end or first + 2 * COMPARED > seconds:
        report.complaints.append(f"too short to compare memory: at least {(first + 2 * COMPARED) / 60:.1f} minutes")
        return
    report.memory_first_mib, report.memory_last_mib = (round(median(e[2] for e in part), 1) for part in (begin, end))
    report.control_first_mib, report.control_last_mib = (round(median(e[3] for e in part), 1) for part in (begin, end))
    if abs(report.growth) > MEMORY_GROWTH:
        report.complaints.append(f"memory changed by {report.growth:+.1%} (at most {MEMORY_GROWTH:.0%})")


def show(report: Report) -> None:
    late = {cause: sum(one.ticks for one in report.late if one.cause == cause) for cause in ("own", "kill", "machine")}
    print(
        f"{report.calls} calls, {report.failed} failed; {report.mutes} mutes, {report.kicks} kicks, {report.raced} "
        f"came too late; mixers killed after {', '.join(f'{kill:.0f} s' for kill in report.kills) or 'never'}\n"
        f"late ticks: {late['own']}; besides {late['kill']} around the kills and {late['machine']} when the machine "
        f"was held up ({report.stalls} times, {report.stall_worst_ms:.0f} ms at worst; {report.steal_share:.1%} of "
        f"its time was stolen)\n"
        f"memory {report.memory_first_mib:.1f} -> {report.memory_last_mib:.1f} MiB ({report.growth:+.1%}), of it "
        f"control {report.control_first_mib:.1f} -> {report.control_last_mib:.1f} MiB\n"
        f"{report.records} call records, {len(report.incomplete)} incomplete"
    )
    for complaint in report.complaints:
        print(f"NOT MET: {complaint}")


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./veche bench soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30, help="how long callers keep coming (%(default)s)")
    parser.add_argument("--legs", type=int, default=300, help="in at once (%(default)s)")
    parser.add_argument("--rate", type=float, default=5, help="who join, and who leave, a second (%(default)s)")
    parser.add_argument("--kills", type=int, default=2, help="mixers killed, spread over the time (%(default)s)")
    parser.add_argument("--json", type=Path, help="where to keep the results (benchmarks/results/)")
    return parser.parse_args(arguments)


def main() -> int:
    chosen = options()
    usage.steady()
    watch = Watch()
    try:
        with tempfile.TemporaryDirectory(prefix="veche-bench-") as folder, Server(Path(folder)) as server:
            report = soak(server, Path(folder), chosen, watch)
            if said := server.complaints().strip():
                print(f"the server's warnings:\n{said}")
    except ServerError as error:
        print(error)
        return 1
    finally:
        watch.close()
    show(report)
    print(f"kept in {save('soak', asdict(report), chosen.json)}")
    return int(bool(report.complaints))


if __name__ == "__main__":
    sys.exit(main())
