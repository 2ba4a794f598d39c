"""What a benchmark found, kept as JSON with the machine it was found on."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

LOAD_BEFORE = os.getloadavg()[0]
"""Of the machine when this program started, so what others made of it."""
FOLDER = Path(__file__).with_name("results")
"""Not under version control but for what docs/performance.md was made from; add a file by name to keep it."""


def save(name: str, found: object, path: Path | None = None) -> Path:
    """Write ``found`` to ``path``, or to ``results/<name>.json``; where it is."""
    target = path or FOLDER / f"{name}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    facts = {"taken": datetime.now(UTC).isoformat(timespec="seconds"), "machine": _machine(), "found": found}
    target.write_text(json.dumps(facts, indent=2) + "\n")
    return target


def _machine() -> dict[str, object]:
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": models[0].split(":", 1)[1].strip() if models else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": round(LOAD_BEFORE, 2),
        "load": round(os.getloadavg()[0], 2),
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
    }
