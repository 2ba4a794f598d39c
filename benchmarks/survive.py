"""./veche bench survive: the mixers are killed and stopped in the middle of calls; how long is it silent?

Phones in this process talk through a whole server (mission N13). One mixer gets SIGKILL, then another one SIGSTOP. No
call may be hung up, and every phone must be sent sound again within a second of the kill; a mixer that hangs has to be
found out first, within two seconds.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import usage
from benchmarks.called import CalledServer
from benchmarks.phones import PhoneBank
from benchmarks.tones import Seating, judge

WARM_SECONDS = 4.0
"""Until the process standing by is up, and every jitter buffer has settled."""
MEASURED_SECONDS = 6
LIMITS = {signal.SIGKILL: 1.0, signal.SIGSTOP: 3.0}
"""Seconds of silence: a second to come back, and two more to be found hanging."""


def busiest_mixer(pids: list[int]) -> int:
    """The mixer process that has worked most, so not the one standing by."""
    return max(usage.running("mixer.process", pids), key=lambda pid: usage.cpu_seconds([pid]))


def blow(server: CalledServer, seating: Seating, phones: PhoneBank, number: signal.Signals) -> list[str]:
    """Hit one mixer with a signal while everybody talks; what was wrong with what came of it."""
    victim = busiest_mixer(server.pids)
    struck: list[float] = []

    def strike() -> None:
        if not struck and time.monotonic() > begun + 1:
            os.kill(victim, number)
            struck.append(time.monotonic())

    begun = time.monotonic()
    heard = phones.measure(MEASURED_SECONDS, strike)
    silent = heard.worst_gap
    after = phones.measure(3)
    verdict = judge(seating, after)
    print(
        f"{number.name:8} {int((silent > 0.1).sum()):4} of {phones.count} phones silent for up to"
        f" {silent.max():.2f} s (median {np.median(silent[silent > 0.1]) if (silent > 0.1).any() else 0:.2f} s);"
        f" afterwards {verdict.right} of {phones.count} mixes right,"
        f" {after.share.min():.2%} of the frames at worst"
    )
    wrong: list[str] = []
    if silent.max() > LIMITS[number]:
        wrong.append(f"{number.name}: silent for {silent.max():.2f} s, more than {LIMITS[number]:.0f} s")
    if verdict.right < phones.count:
        wrong.append(f"{number.name}: {phones.count - verdict.right} mixes are wrong afterwards")
    return wrong


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./veche bench survive", description=__doc__)
    parser.add_argument("--legs", type=int, default=200, help="calls (200)")
    parser.add_argument("--room", type=int, default=10, help="legs a conference (10)")
    chosen = parser.parse_args(arguments)
    seating = Seating(chosen.legs, chosen.room, 2)
    phones = PhoneBank(seating.legs, *seating.streams())
    with tempfile.TemporaryDirectory() as folder:
        server = CalledServer(Path(folder), 8, chosen.room + 2)
        try:
            places = list(server.seat(seating, phones))
            phones.send_to(places)
            phones.run(WARM_SECONDS)
            wrong = [f"{places.count(None)} phones got no answer"] if None in places else []
            for number in LIMITS:
                wrong += blow(server, seating, phones, number)
            phones.send_to([None] * phones.count)
            left = server.calls()
            print(f"{chosen.legs} calls, {left} still up")
            if left != chosen.legs:
                wrong.append(f"{chosen.legs - left} calls were hung up")
        finally:
            server.close()
            phones.close()
    for complaint in wrong:
        print(f"NOT MET: {complaint}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
