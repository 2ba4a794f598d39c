"""The virtual environment .venv: made once, brought up to date when pyproject.toml changes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from bootstrap import debian
from bootstrap.place import PYTHON, ROOT, VENV, SetupError, execute, fingerprint, forget, locked, recall, remember

STEP = "python"


def ensure(*, dev: bool = False) -> None:
    """Have .venv with the packages pyproject.toml asks for. Does nothing when that is so already. Raises SetupError."""
    if is_ready(dev=dev):
        return
    with locked():
        if is_ready(dev=dev):
            return
        dev = dev or bool(recall(STEP).get("dev"))
        forget(STEP)
        _make_venv()
        wanted = ".[dev]" if dev else "."
        execute(
            "installing the Python packages" + (" with those for development" if dev else ""),
            # compat: a plain .pth to the tree, so a package folder added later is found without installing again
            [PYTHON, "-m", "pip", "install", "--config-settings", "editable_mode=compat", "-e", wanted],
            env={"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"},
        )
        remember(STEP, fingerprint=_fingerprint(), dev=dev)


def is_ready(*, dev: bool = False) -> bool:
    """Whether ensure() would have nothing to do."""
    noted = recall(STEP)
    return PYTHON.exists() and noted.get("fingerprint") == _fingerprint() and (not dev or bool(noted.get("dev")))


def _fingerprint() -> str:
    return fingerprint([ROOT / "pyproject.toml"], str(ROOT), "{}.{}".format(*sys.version_info))


def _make_venv() -> None:
    if _usable():
        return
    if not _can_make_venv():
        package = "python{}.{}-venv".format(*sys.version_info)
        debian.install([package], f"Python's venv module (Debian package {package})")
    execute("making the virtual environment", [sys.executable, "-m", "venv", "--clear", VENV])
    if not _usable():
        raise SetupError(f"the virtual environment in {VENV} has no working pip; remove that folder and try again")


def _can_make_venv() -> bool:
    return importlib.util.find_spec("venv") is not None and importlib.util.find_spec("ensurepip") is not None


def _usable() -> bool:
    """Whether .venv is of this Python, complete, and has not moved with its tree (its scripts name their folder)."""
    activate = VENV / "bin" / "activate"
    complete = PYTHON.exists() and (site_packages() / "pip").is_dir() and activate.exists()
    return complete and str(VENV) in activate.read_text(errors="replace")


def site_packages() -> Path:
    """The environment's own package folder."""
    return VENV / "lib" / "python{}.{}".format(*sys.version_info) / "site-packages"
