"""What a process and its descendants cost: CPU time to the nanosecond, memory."""

from __future__ import annotations

import time

import psutil

_CPUCLOCK_SCHED = 2


def tree(pid: int) -> list[int]:
    """``pid`` and its living descendants."""
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


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
