"""The command line: accounts and tokens, also while the server runs, and refusals in one line."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from control import cli
from control.config import ROOT
from tests.control.edge import Edge


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VECHE_DATA__DIR", str(tmp_path))
    monkeypatch.delenv("VECHE_PASSWORD", raising=False)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """(exit status, stdout, stderr)."""
    try:
        status = cli.main(arguments)
    except SystemExit as end:
        status = int(end.code or 0)
    out, err = capsys.readouterr()
    return status, out, err


def test_b35_an_account_is_added_listed_blocked_and_removed(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VECHE_PASSWORD", "correct horse")
    status, out, _ = run(capsys, "account", "add", "+375 29 123-45-67", "--display-name", "Ян", "--role", "operator")
    assert (status, out) == (0, "added telephone account 375291234567\n")
    assert run(capsys, "account", "block", "80291234567")[0] == 0
    [listed] = json.loads(run(capsys, "account", "list", "--json")[1])
    assert (listed["name"], listed["display_name"], listed["blocked"]) == ("375291234567", "Ян", True)
    table = run(capsys, "account", "list")[1]
    assert "blocked" in table
    assert "argon2" not in table
    assert run(capsys, "account", "unblock", "375291234567")[0] == 0
    assert run(capsys, "account", "password", "375291234567")[0] == 0
    assert run(capsys, "account", "remove", "375291234567", "--yes")[0] == 0
    assert json.loads(run(capsys, "account", "list", "--json")[1]) == []


def test_removing_asks_and_without_a_terminal_wants_yes(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("VECHE_PASSWORD", "correct horse")
    run(capsys, "account", "add", "100")
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    status, _, err = run(capsys, "account", "remove", "100")
    assert (status, "--yes" in err) == (1, True)
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    assert run(capsys, "account", "remove", "100")[0] == 1
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert run(capsys, "account", "remove", "100")[0] == 0


def test_a_password_comes_from_standard_input_or_a_prompt_asked_twice(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("correct horse\n"))
    assert run(capsys, "account", "add", "100", "--password-stdin")[0] == 0
    status, _, err = run(capsys, "account", "add", "101")
    assert (status, "--password-stdin" in err) == (1, True)
    answers = iter(["correct horse", "other horse"])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    status, _, err = run(capsys, "account", "add", "101")
    assert (status, "differ" in err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["account", "add", "12345678"], "number: '12345678' is not a telephone account"),
        (["account", "block", "100"], "there is no account 100"),
        (["token", "create", "--name", "x", "--scope", "king"], "scopes: 'king' is not a scope"),
        (["token", "create", "--name", "x", "--scope", "admin", "--expires-days", "1e99"], "out of range"),
        (["token", "create", "--name", "x", "--scope", "admin", "--expires-days", "-1"], "must be longer than nothing"),
        (["token", "revoke", "x"], "there is no token x"),
        (["token", "list", "--config", "/nowhere.toml"], "/nowhere.toml"),
    ],
)
def test_a_refusal_is_one_line_that_says_why(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.setenv("VECHE_PASSWORD", "correct horse")
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (1, "")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["token"], ["token", "create"], ["account", "add"]])
def test_what_is_not_understood_is_explained(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    status, _, err = run(capsys, *arguments)
    assert (status, "usage:" in err) == (2, True)


@pytest.mark.parametrize(
    "arguments", [[], ["run"], ["account"], ["account", "add"], ["token"], ["token", "create"], ["token", "list"]]
)
def test_help_is_everywhere(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    status, out, _ = run(capsys, *arguments, "--help")
    assert (status, out.startswith("usage: ./veche")) == (0, True)


async def test_a_token_made_while_the_server_runs_is_the_last_line_and_works(tmp_path: Path) -> None:
    async with Edge(tmp_path) as edge:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "control.cli", "token", "create", "--name", "N", "--scope", "operator"),
            cwd=ROOT,
            env={"VECHE_DATA__DIR": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        out, _ = await process.communicate()
        assert process.returncode == 0, out
        token = out.decode().splitlines()[-1]
        assert (await edge.ask("POST", "conferences", {}, token=token))[0] == 201
        await edge.tokens.revoke("N")
        assert (await edge.ask("GET", "conferences", token=token))[0] == 401
