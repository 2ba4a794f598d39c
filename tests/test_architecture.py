"""The shape of the tree, as docs/architecture.md draws it, held by tests."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from control.config import Config

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "mixer": set[str](),
    "sdp": set[str](),
    "sip": {"sdp"},
    "webrtc": {"sdp"},
    "control": {"sip", "webrtc", "sdp", "mixer"},
    "bootstrap": set[str](),
}
OURS = {*MAY_IMPORT, "benchmarks", "tests"}
LONG, TOO_LONG = 500, 800
QUOTATIONS = {"tests/sip/torture.py"}
"""Not code but a long quotation (RFC 4475's messages), which no splitting makes clearer."""
REGISTRY_HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("deb", "debian", "org"),
        ("security", "debian", "org"),
    )
]


def _files(*patterns: str) -> list[Path]:
    """Files that are, or are about to be, under version control."""
    git = ["git", "-c", "safe.directory=*", "ls-files"]
    command = [*git, "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for path in map(ROOT.joinpath, listed.splitlines()) if path.is_file()]


def _imports(path: Path) -> Iterator[str]:
    """First parts of the names a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_imports_go_one_way(package: str) -> None:
    modules = sorted((ROOT / package).rglob("*.py"))
    assert modules, f"{package} is empty"
    allowed = MAY_IMPORT[package] | {package}
    foreign = OURS - allowed
    assert [f"{path.relative_to(ROOT)}: {name}" for path in modules for name in _imports(path) if name in foreign] == []


def test_mixer_knows_no_asyncio() -> None:
    guilty = [path.name for path in (ROOT / "mixer").rglob("*.py") if {"asyncio", "uvloop"} & set(_imports(path))]
    assert guilty == []


def test_bootstrap_needs_nothing_but_the_standard_library() -> None:
    for path in [ROOT / "veche", *(ROOT / "bootstrap").rglob("*.py")]:
        assert set(_imports(path)) <= {*sys.stdlib_module_names, "bootstrap"}, path


def test_modules_stay_short() -> None:
    files = {str(path.relative_to(ROOT)): path for path in _files("*.py", "*.ts", "*.tsx")}
    lengths = {name: path.read_text().count("\n") for name, path in files.items() if name not in QUOTATIONS}
    for name, length in lengths.items():
        if LONG < length <= TOO_LONG:
            warnings.warn(f"{name} has {length} lines: split it soon", stacklevel=1)
    assert [f"{name}: {length}" for name, length in lengths.items() if length > TOO_LONG] == []


def test_no_file_names_a_package_registry() -> None:
    hosts = re.compile("|".join(map(re.escape, REGISTRY_HOSTS)).encode())
    assert [str(path.relative_to(ROOT)) for path in _files() if hosts.search(path.read_bytes())] == []


def test_decisions_are_numbered_once() -> None:
    documents = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [path.name[:3] for path in documents]
    assert all(re.fullmatch(r"\d{3}-[a-z0-9-]+\.md", path.name) for path in documents)
    assert len(set(numbers)) == len(numbers)


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _keys(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_every_setting_is_in_the_shipped_file_and_explained() -> None:
    keys = list(_keys(Config))
    assert "http.port" in keys
    document = (ROOT / "docs" / "configuration.md").read_text()
    assert [key for key in keys if f"`{key}`" not in document] == []
    # A key without a default worth shipping stands there as a comment: uncomment those to find them.
    shipped = (ROOT / "config" / "veche.toml").read_text()
    written = tomllib.loads(re.sub(r"(?m)^#\s?(?=[a-z_0-9]+ = )", "", shipped))
    assert [key for key in keys if not _has(written, key.split("."))] == []


def _has(table: object, path: list[str]) -> bool:
    return not path or (isinstance(table, dict) and path[0] in table and _has(table[path[0]], path[1:]))
