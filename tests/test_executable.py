"""The executable: help without set-up, set-up once, the program it becomes. A stand-in for Python notes its calls."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bootstrap import debian
from bootstrap.checks import Checks
from bootstrap.place import SetupError

ROOT = Path(__file__).resolve().parent.parent
PYTHON = """#!/bin/sh
echo "$$ $*" >> "$CALLS"
case "$*" in
*"pip install"*) [ -z "$BROKEN" ] || { echo 'no such package'; exit 1; }; sleep 0.2 ;;
*" run"*) echo "the server"; exec sleep 30 ;;
*) echo "the program's own output" ;;
esac
"""


class Tree:
    """A copy of the executable in a folder of its own, with a virtual environment that only pretends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls_file = folder.parent / "calls"
        folder.mkdir()
        shutil.copy(ROOT / "veche", folder)
        shutil.copytree(ROOT / "bootstrap", folder / "bootstrap", ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "pyproject.toml").write_text("[project]\n")
        self.environment = {**os.environ, "CALLS": str(self.calls_file), "PYTHONDONTWRITEBYTECODE": "1"}

    def pretend_venv(self) -> None:
        binaries = self.folder / ".venv" / "bin"
        binaries.mkdir(parents=True)
        (binaries / "activate").write_text(f"VIRTUAL_ENV={self.folder / '.venv'}\n")
        (binaries / "python").write_text(PYTHON)
        (binaries / "python").chmod(0o755)
        version = "python{}.{}".format(*sys.version_info)
        (self.folder / ".venv" / "lib" / version / "site-packages" / "pip").mkdir(parents=True)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(self.folder / "veche"), *arguments]
        return subprocess.Popen(
            command,
            cwd="/",
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        """Exit status, standard output, standard error."""
        process = self.start(*arguments, **environment)
        out, err = process.communicate()
        return process.returncode, out, err

    def installs(self) -> int:
        return self.calls_file.read_text().count("pip install") if self.calls_file.exists() else 0


@pytest.fixture
def bare(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "a tree with spaces")


@pytest.fixture
def tree(bare: Tree) -> Tree:
    bare.pretend_venv()
    return bare


@pytest.mark.parametrize(
    "command", ["", "run", "test", "bench", "bench mix", "bench sip", "account", "account add", "token", "token create"]
)
def test_help_is_given_everywhere_without_setting_anything_up(bare: Tree, command: str) -> None:
    before = sorted(path.name for path in bare.folder.iterdir())
    status, out, _ = bare.call(*command.split(), "--help")
    assert status == 0
    assert len(out.split()) > 10
    assert sorted(path.name for path in bare.folder.iterdir()) == before


def test_an_unknown_command_is_refused_with_the_known_ones(bare: Tree) -> None:
    status, _, err = bare.call("dance")
    assert status == 2
    assert "'run', 'account', 'token', 'test', 'bench'" in err


def test_setup_happens_once_and_leaves_standard_output_to_the_program(tree: Tree) -> None:
    for _ in range(2):
        assert tree.call("token", "create", "--name", "N")[:2] == (0, "the program's own output\n")
    assert tree.installs() == 1
    assert tree.calls_file.read_text().splitlines()[-1].endswith(" -P -m control.cli token create --name N")


def test_setup_is_repeated_when_the_dependencies_change(tree: Tree) -> None:
    tree.call("token", "list")
    (tree.folder / "pyproject.toml").write_text('[project]\ndependencies = ["new"]\n')
    tree.call("token", "list")
    assert tree.installs() == 2


def test_a_failed_setup_shows_why_and_is_tried_again(tree: Tree) -> None:
    status, out, err = tree.call("token", "list", BROKEN="yes")
    assert (status, out) == (1, "")
    assert "no such package" in err
    assert tree.call("token", "list")[0] == 0
    assert tree.installs() == 2


def test_two_at_once_set_up_once(tree: Tree) -> None:
    both = [tree.start("token", "list") for _ in range(2)]
    assert [process.communicate()[0] for process in both] == ["the program's own output\n"] * 2
    assert tree.installs() == 1


def test_a_tree_that_was_moved_gets_a_new_environment(tree: Tree) -> None:
    tree.call("token", "list")
    shutil.move(tree.folder, tree.folder.with_name("elsewhere"))
    tree.folder = tree.folder.with_name("elsewhere")
    _, _, err = tree.call("token", "list")
    assert "making the virtual environment" in err


def test_run_becomes_the_server_so_that_signals_reach_it(tree: Tree) -> None:
    tree.call("token", "list")
    from_sources = f"""
import sys
sys.path.insert(0, {str(tree.folder)!r})
from bootstrap import cli, portal
portal.ensure_built = lambda: None
cli.main(["run"])
"""
    with subprocess.Popen(
        [sys.executable, "-c", from_sources], env=tree.environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "the server\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
    assert tree.calls_file.read_text().splitlines()[-1] == f"{process.pid} -P -m control.cli run"


def test_a_missing_program_is_named_with_its_package_to_those_who_may_not_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/apt-get" if name == "apt-get" else None)
    with pytest.raises(SetupError, match=r"missing: sipp\.(.|\n)*apt-get install sip-tester"):
        debian.ensure_programs({"sipp": "sip-tester"})


def test_the_tally_fails_when_a_step_fails_or_no_test_ran(capsys: pytest.CaptureFixture[str]) -> None:
    checks = Checks()
    checks.step("works", ["true"])
    assert checks.summary() == 1
    assert "no test ran" in capsys.readouterr().out

    checks = Checks(outcomes=Counter(passed=3, skipped=1))
    checks.step("works", ["true"])
    assert checks.summary() == 0
    assert capsys.readouterr().out.splitlines()[-1].strip("= ").startswith("3 passed, 1 skipped in ")
    checks.step("breaks", ["false"])
    assert checks.summary() == 1
