"""The command line behind ./veche: run, account, token. All but run work on the store, also while the server runs."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from control.accounts import ROLES, Accounts
from control.config import Config, ConfigError, load_config
from control.errors import CommandError
from control.secrets import SealError
from control.store import Store, StoreError
from control.store.records import AccountRecord, TokenRecord
from control.tokens import Scope, Tokens

PASSWORD_VARIABLE = "VECHE_PASSWORD"  # noqa: S105 the name of the variable, not a password

Action = Callable[[argparse.Namespace, Store, Config], Awaitable[None]]


class UsageError(Exception):
    """The command cannot be carried out as given; ``str()`` is one line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 1 refused, 2 not understood."""
    options = _parser().parse_args(arguments)
    try:
        config = load_config(options.config, os.environ)
        if options.action is None:
            return _serve(config)
        asyncio.run(_with_store(options, config))
    except ConfigError as error:
        return _complain(f"configuration: {error}")
    except (StoreError, SealError, UsageError) as error:
        return _complain(str(error))
    except CommandError as error:
        where = f"{error.field.strip('/')}: " if error.field else ""
        return _complain(where + error.detail)
    except (KeyboardInterrupt, EOFError):
        return _complain("given up")
    return 0


def _serve(config: Config) -> int:
    # here, not above: what the server imports would make every other command slow
    from control.server import run

    run(config)
    return 0


async def _with_store(options: argparse.Namespace, config: Config) -> None:
    store = await Store.open(config.data)
    try:
        await options.action(options, store, config)
    finally:
        await store.close()


def _complain(text: str) -> int:
    sys.stderr.write(f"veche: {text}\n")
    return 1


def _say(text: str = "") -> None:
    sys.stdout.write(text + "\n")


# --- what can be said ------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, metavar="FILE", help="configuration over config/veche.toml")
    parser = argparse.ArgumentParser(prog="./veche", description="Veche, a telephone operator's conference server.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = commands.add_parser("run", parents=[common], help="start the server", description=_RUN)
    run.set_defaults(action=None)

    def group(name: str, text: str) -> Callable[[str, str, Action], argparse.ArgumentParser]:
        own = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        actions = own.add_subparsers(title="actions", metavar="ACTION", required=True)

        def add(action: str, about: str, run: Action) -> argparse.ArgumentParser:
            made = actions.add_parser(action, parents=[common], help=about, description=about[0].upper() + about[1:])
            made.set_defaults(action=run)
            return made

        return add

    _account_actions(group("account", "accounts that sign in: phones (by number) and people (by e-mail)"))
    _token_actions(group("token", "bearer tokens of the API"))
    return parser


_RUN = """Start the server and keep it running until SIGTERM or Ctrl-C. Every setting and its default is in
config/veche.toml; --config FILE and the environment (VECHE_HTTP__PORT=18080) override it."""
_NAME = "375XXXXXXXXX in any usual spelling, an extension of 2 to 6 digits, or an e-mail address"


def _account_actions(action: Callable[[str, str, Action], argparse.ArgumentParser]) -> None:
    add = action("add", "create an account", _account_add)
    add.add_argument("--display-name", default="", metavar="TEXT", help="name shown to others")
    add.add_argument("--role", choices=ROLES, default="user", help="what it may do (default: user)")
    password = action("password", "set an account's password", _account_password)
    listing = action("list", "list the accounts", _account_list)
    listing.add_argument("--json", action="store_true", help="one JSON array")
    block = action("block", "refuse its sign-ins and registrations", _account_block)
    unblock = action("unblock", "accept it again", _account_unblock)
    remove = action("remove", "delete an account", _account_remove)
    remove.add_argument("--yes", action="store_true", help="do not ask")
    for parser in (add, password, block, unblock, remove):
        parser.add_argument("name", metavar="ACCOUNT", help=_NAME)
    for parser in (add, password):
        parser.add_argument(
            "--password-stdin",
            action="store_true",
            help=f"read the password from standard input (default: {PASSWORD_VARIABLE} if set, else ask)",
        )


def _token_actions(action: Callable[[str, str, Action], argparse.ArgumentParser]) -> None:
    create = action("create", "make a token; it is printed as the last line and kept nowhere", _token_create)
    create.add_argument("--name", required=True, help="whose it is; shown in lists and as the author of changes")
    create.add_argument(
        "--scope",
        required=True,
        action="append",
        metavar="SCOPE",
        help=f"what it allows: {', '.join(Scope)}; may be given more than once or separated by commas",
    )
    create.add_argument("--expires-days", type=float, metavar="N", help="valid for so many days (default: for ever)")
    listing = action("list", "list the tokens", _token_list)
    listing.add_argument("--json", action="store_true", help="one JSON array")
    revoke = action("revoke", "make a token worthless", _token_revoke)
    revoke.add_argument("name", metavar="TOKEN", help="its name or id")


# --- accounts --------------------------------------------------------------------------------------------------------


async def _account_add(options: argparse.Namespace, store: Store, config: Config) -> None:
    accounts = Accounts(store, config.sip.realm)
    password = _password(options)
    record = await accounts.add(options.name, password, display_name=options.display_name, role=options.role)
    _say(f"added {record.kind} account {record.name}")


async def _account_password(options: argparse.Namespace, store: Store, config: Config) -> None:
    accounts = Accounts(store, config.sip.realm)
    await accounts.get(options.name)
    record = await accounts.set_password(options.name, _password(options))
    _say(f"changed the password of {record.name}")


async def _account_list(options: argparse.Namespace, store: Store, config: Config) -> None:
    records = await Accounts(store, config.sip.realm).list()
    if options.json:
        fields = ("id", "name", "kind", "display_name", "role", "blocked", "created")
        _say(_json(records, fields))
        return
    rows = [(r.name, r.kind, r.role, "blocked" if r.blocked else "", r.display_name) for r in records]
    _say_table(("ACCOUNT", "TYPE", "ROLE", "STATE", "NAME"), rows)


async def _account_block(options: argparse.Namespace, store: Store, config: Config) -> None:
    record = await Accounts(store, config.sip.realm).block(options.name, True)
    _say(f"blocked {record.name}")


async def _account_unblock(options: argparse.Namespace, store: Store, config: Config) -> None:
    record = await Accounts(store, config.sip.realm).block(options.name, False)
    _say(f"unblocked {record.name}")


async def _account_remove(options: argparse.Namespace, store: Store, config: Config) -> None:
    accounts = Accounts(store, config.sip.realm)
    record = await accounts.get(options.name)
    if not options.yes:
        if not sys.stdin.isatty():
            raise UsageError(f"removing {record.name} needs --yes when nobody can be asked")
        answer = await asyncio.to_thread(input, f"Remove the account {record.name}? [y/N] ")
        if answer.strip().lower() not in {"y", "yes"}:
            raise UsageError("nothing removed")
    await accounts.remove(options.name)
    _say(f"removed {record.name}")


def _password(options: argparse.Namespace) -> str:
    if options.password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if (password := os.environ.get(PASSWORD_VARIABLE)) is not None:
        return password
    if not sys.stdin.isatty():
        raise UsageError(f"no password: give --password-stdin or {PASSWORD_VARIABLE} when nobody can be asked")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != password:
        raise UsageError("the two passwords differ")
    return password


# --- tokens ----------------------------------------------------------------------------------------------------------


async def _token_create(options: argparse.Namespace, store: Store, config: Config) -> None:
    scopes = [part.strip() for given in options.scope for part in given.split(",") if part.strip()]
    try:
        lifetime = None if options.expires_days is None else timedelta(days=options.expires_days)
    except (OverflowError, ValueError):
        raise UsageError(f"--expires-days {options.expires_days:g} is out of range") from None
    token, record = await Tokens(store).create(options.name, scopes, lifetime=lifetime)
    until = "for ever" if record.expires is None else f"until {_local(record.expires)}"
    sys.stderr.write(f"token {record.name} ({', '.join(record.scopes)}), valid {until}; shown only now:\n")
    _say(token)


async def _token_list(options: argparse.Namespace, store: Store, config: Config) -> None:
    records = await Tokens(store).list()
    if options.json:
        _say(_json(records, ("id", "name", "scopes", "created", "last_used", "expires", "revoked")))
        return
    rows = [
        (r.name, ",".join(r.scopes), _local(r.created), _local(r.last_used), _local(r.expires), _state(r), r.id)
        for r in records
    ]
    _say_table(("NAME", "SCOPES", "CREATED", "LAST USED", "EXPIRES", "STATE", "ID"), rows)


async def _token_revoke(options: argparse.Namespace, store: Store, config: Config) -> None:
    record = await Tokens(store).revoke(options.name)
    _say(f"revoked {record.name} ({record.id})")


def _state(record: TokenRecord) -> str:
    if record.revoked is not None:
        return "revoked"
    return "expired" if record.expires is not None and record.expires <= datetime.now(record.expires.tzinfo) else ""


# --- showing ---------------------------------------------------------------------------------------------------------


def _local(time: datetime | None) -> str:
    return "-" if time is None else time.astimezone().strftime("%Y-%m-%d %H:%M")


def _json(records: Sequence[AccountRecord | TokenRecord], fields: Sequence[str]) -> str:
    def plain(value: Any) -> Any:
        return value.isoformat() if isinstance(value, datetime) else value

    items = [{field: plain(getattr(record, field)) for field in fields} for record in records]
    return json.dumps(items, ensure_ascii=False, indent=2)


def _say_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        _say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    sys.exit(main())
