"""Memory given back after a peak (malloc_trim(3)): a busy minute must not be paid for until the next restart."""

from __future__ import annotations

import asyncio
import ctypes

INTERVAL_SECONDS = 10.0


async def give_back() -> None:
    """Hand free pages to the system every so often, for ever. Does nothing where the C library cannot."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return
    while True:
        await asyncio.sleep(INTERVAL_SECONDS)
        trim(0)
