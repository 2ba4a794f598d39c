"""Programs that come from Debian's packages: installed when root may, named exactly otherwise."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from bootstrap.place import STATE, SetupError, execute, locked

TEST_PROGRAMS = {"sipp": "sip-tester", "baresip": "baresip-core"}
"""Program the tests run -> Debian package that has it."""


def ensure_programs(programs: dict[str, str]) -> None:
    """Have each of ``programs`` (name -> Debian package). Raises SetupError naming what to install."""
    missing = {program: package for program, package in programs.items() if shutil.which(program) is None}
    if missing:
        with locked():
            install(sorted(set(missing.values())), ", ".join(sorted(missing)))


def install(packages: Sequence[str], what: str) -> None:
    """Install ``packages`` when this is root on Debian. Raises SetupError with the command to run when not."""
    words = " ".join(packages)
    if shutil.which("apt-get") is None:
        raise SetupError(f"missing: {what}. Install it and try again (on Debian: apt-get install {words})")
    if os.geteuid() != 0:
        raise SetupError(f"missing: {what}. Install it and try again:\n  sudo apt-get install {words}")
    STATE.mkdir(exist_ok=True)
    command = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        execute(f"installing Debian packages: {words}", command, env=quiet)
    except SetupError:
        # The package lists of a fresh machine are empty or out of date.
        execute("fetching Debian's package lists", ["apt-get", "update"], env=quiet)
        execute(f"installing Debian packages: {words}", command, env=quiet)
