"""What a process and its descendants cost: CPU time to the nanosecond, memory."""

from __future__ import annotations

import contextlib
import os
import time

import psutil

PRIORITY = -10
_CPUCLOCK_SCHED = 2


def tree(pid: int) -> list[int]:
    """``pid`` and its living descendants."""
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def running(module: str, pids: list[int]) -> list[int]:
    """Those of ``pids`` that are ``python -m module``."""
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            if module in psutil.Process(pid).cmdline():
                found.append(pid)
    return found


def cpu_seconds(pids: list[int]) -> float:
    """CPU time of all threads of these processes so far, by the scheduler's own count (clock_getcpuclockid(3))."""
    total = 0.0
    for pid in pids:
        try:
            total += time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)
        except OSError:
            continue  # the process ended
    return total


def memory_mib(pids: list[int]) -> float:
    """Proportional set size: memory shared between the processes is counted once."""
    total = 0
    for pid in pids:
        try:
            total += psutil.Process(pid).memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total / (1 << 20)


def private_mib(pids: list[int]) -> float:
    """Unique set size: what these processes alone hold.

    Unlike the proportional size it does not move when other programs that share the same libraries come and go, so it
    is what growth is told by.
    """
    total = 0
    for pid in pids:
        try:
            total += psutil.Process(pid).memory_full_info().uss
        except psutil.NoSuchProcess:
            continue
    return total / (1 << 20)


def steal_seconds() -> float:
    """Time that the hypervisor has given to others while this machine's cores wanted to run."""
    return float(psutil.cpu_times().steal)


def steady() -> None:
    """Prepare this process, and those it starts, for measuring: ahead of other programs where that is allowed.

    Says so when others are busy all the same, because then the figures tell of them, too.
    """
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    if (nice := os.getpriority(os.PRIO_PROCESS, 0)) < 0:
        print(f"measured at priority {nice}, the server too; in operation its control process has the ordinary one")
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores / 4:
        print(f"other programs are at work here (load {load:.1f} on {cores} cores): they make the figures worse")
