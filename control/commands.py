"""The one command table: every operation with its name, who may, target, input, output and function.

The REST routes and the OpenAPI page are made from it. A command's function gets the context (service and actor), the
ids its path names, and its validated input; it returns its output model or raises ``control.errors.CommandError``.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from control import schemas as s
from control.accounts import Accounts
from control.snapshots import account_view
from control.tokens import Scope

if TYPE_CHECKING:
    from control.service import ConferenceService

API = "/api/v1"


class Target(StrEnum):
    """What a command is about; tells which ids it needs."""

    SERVER = "server"
    CONFERENCE = "conference"
    PARTICIPANT = "participant"
    ACCOUNT = "account"


@dataclass(frozen=True, slots=True)
class Context:
    """On whose behalf a command runs."""

    service: ConferenceService
    accounts: Accounts
    actor: str
    """Who gave it: the token's name; it goes into the events as ``by``."""
    request_key: str | None = None
    """Unique name of a request under an Idempotency-Key: what it makes is made once (mission N12)."""


@dataclass(frozen=True, slots=True)
class Http:
    """How REST reaches a command; a GET's input comes from the query, others' from a JSON body."""

    method: str
    path: str
    status: int = 200


Run = Callable[[Context, Mapping[str, str], Any], Awaitable[BaseModel | None]]


@dataclass(frozen=True, slots=True)
class Command:
    """One operation of the server.

    ``ids`` of a run are named as in the path: ``conference_id``, ``participant_id``, ``number`` (of an account).
    """

    name: str
    summary: str
    target: Target
    scopes: frozenset[Scope]
    http: Http
    run: Run
    input: type[BaseModel] | None = None
    output: type[BaseModel] | None = None
    idempotent_by_key: bool = False
    """True when an Idempotency-Key makes repeating it safe (mission N12)."""


COMMANDS: dict[str, Command] = {}

_OPERATE = frozenset({Scope.OPERATOR})
_LOOK = frozenset({Scope.OPERATOR, Scope.MONITOR})
_ONE = API + "/conferences/{conference_id}"
_PEOPLE = _ONE + "/participants"
_PERSON = _PEOPLE + "/{participant_id}"


def _command(
    name: str,
    http: Http,
    summary: str,
    *,
    takes: type[BaseModel] | None = None,
    gives: type[BaseModel] | None = None,
    idempotent_by_key: bool = False,
) -> Callable[[Run], Run]:
    """Enter the decorated function into the table; the target is what its path leads to."""
    if "{participant_id}" in http.path:
        target = Target.PARTICIPANT
    elif "{conference_id}" in http.path:
        target = Target.CONFERENCE
    else:
        target = Target.ACCOUNT if name.startswith("account.") else Target.SERVER
    scopes = _LOOK if http.method == "GET" else _OPERATE

    def enter(run: Run) -> Run:
        COMMANDS[name] = Command(name, summary, target, scopes, http, run, takes, gives, idempotent_by_key)
        return run

    return enter


# --- conferences -----------------------------------------------------------------------------------------------------


@_command(
    "conference.create",
    Http("POST", API + "/conferences", 201),
    "Create a conference, now or for later",
    takes=s.CreateConference,
    gives=s.ConferenceView,
    idempotent_by_key=True,
)
async def _create(context: Context, ids: Mapping[str, str], value: s.CreateConference) -> s.ConferenceView:
    return await context.service.create(value, by=context.actor, request_key=context.request_key)


@_command(
    "conference.list",
    Http("GET", API + "/conferences"),
    "List conferences, newest first",
    takes=s.ListConferences,
    gives=s.ConferencePage,
)
async def _list(context: Context, ids: Mapping[str, str], value: s.ListConferences) -> s.ConferencePage:
    return await context.service.list(value)


@_command("conference.get", Http("GET", _ONE), "Get a conference", gives=s.ConferenceView)
async def _get(context: Context, ids: Mapping[str, str], value: None) -> s.ConferenceView:
    return await context.service.get(ids["conference_id"])


@_command(
    "conference.live", Http("GET", _ONE + "/live"), "Who is in, who talks, how the voice fares", gives=s.LiveConference
)
async def _live(context: Context, ids: Mapping[str, str], value: None) -> s.LiveConference:
    return await context.service.live(ids["conference_id"])


@_command(
    "conference.network",
    Http("GET", _ONE + "/network"),
    "Network state report: codec, loss, jitter, delay and MOS of everybody",
    gives=s.NetworkReport,
)
async def _network(context: Context, ids: Mapping[str, str], value: None) -> s.NetworkReport:
    return await context.service.network(ids["conference_id"])


@_command(
    "conference.legs",
    Http("GET", _ONE + "/legs"),
    "Call detail records of a conference, newest first",
    takes=s.ListLegs,
    gives=s.LegPage,
)
async def _legs(context: Context, ids: Mapping[str, str], value: s.ListLegs) -> s.LegPage:
    return await context.service.legs(ids["conference_id"], value)


@_command(
    "conference.extend",
    Http("POST", _ONE + "/extend"),
    "Move the end by some minutes",
    takes=s.ExtendConference,
    gives=s.ConferenceView,
)
async def _extend(context: Context, ids: Mapping[str, str], value: s.ExtendConference) -> s.ConferenceView:
    return await context.service.extend(ids["conference_id"], value.minutes, by=context.actor)


@_command("conference.lock", Http("POST", _ONE + "/lock"), "Refuse further guests", gives=s.ConferenceView)
async def _lock(context: Context, ids: Mapping[str, str], value: None) -> s.ConferenceView:
    return await context.service.lock(ids["conference_id"], True, by=context.actor)


@_command("conference.unlock", Http("POST", _ONE + "/unlock"), "Let guests in again", gives=s.ConferenceView)
async def _unlock(context: Context, ids: Mapping[str, str], value: None) -> s.ConferenceView:
    return await context.service.lock(ids["conference_id"], False, by=context.actor)


@_command(
    "conference.sound",
    Http("POST", _ONE + "/sound"),
    "Set how it sounds: levelling, most talkers at once, music kept out",
    takes=s.SetSound,
    gives=s.ConferenceView,
)
async def _sound(context: Context, ids: Mapping[str, str], value: s.SetSound) -> s.ConferenceView:
    return await context.service.set_sound(ids["conference_id"], value, by=context.actor)


@_command("conference.end", Http("POST", _ONE + "/end"), "End it: everybody is hung up", gives=s.ConferenceView)
async def _end(context: Context, ids: Mapping[str, str], value: None) -> s.ConferenceView:
    return await context.service.end(ids["conference_id"], by=context.actor)


# --- participants ----------------------------------------------------------------------------------------------------


@_command(
    "participant.add",
    Http("POST", _PEOPLE, 201),
    "Add a participant, and ring him if wished",
    takes=s.AddParticipant,
    gives=s.ParticipantView,
    idempotent_by_key=True,
)
async def _add(context: Context, ids: Mapping[str, str], value: s.AddParticipant) -> s.ParticipantView:
    return await context.service.add_participant(
        ids["conference_id"], value, by=context.actor, request_key=context.request_key
    )


@_command("participant.list", Http("GET", _PEOPLE), "List a conference's participants", gives=s.ParticipantList)
async def _participants(context: Context, ids: Mapping[str, str], value: None) -> s.ParticipantList:
    return await context.service.participants(ids["conference_id"])


@_command(
    "participant.invite_many",
    Http("POST", _PEOPLE + "/invite"),
    "Ring the phones of several participants",
    takes=s.InviteParticipants,
    gives=s.ParticipantList,
)
async def _invite_many(context: Context, ids: Mapping[str, str], value: s.InviteParticipants) -> s.ParticipantList:
    return await context.service.invite_many(ids["conference_id"], value.participants, by=context.actor)


@_command("participant.get", Http("GET", _PERSON), "Get a participant", gives=s.ParticipantView)
async def _participant(context: Context, ids: Mapping[str, str], value: None) -> s.ParticipantView:
    return await context.service.participant(ids["conference_id"], ids["participant_id"])


def _simple(action: str, summary: str) -> None:
    """A participant command without input: ``POST .../{participant_id}/<action>``."""

    @_command(f"participant.{action}", Http("POST", f"{_PERSON}/{action}"), summary, gives=s.ParticipantView)
    async def run(context: Context, ids: Mapping[str, str], value: None) -> s.ParticipantView:
        return await context.service.act(ids["conference_id"], ids["participant_id"], action, by=context.actor)


_simple("invite", "Ring his phone, also again (redial)")
_simple("cancel", "Stop ringing his phone")
_simple("mute", "Mute him; only the operator can unmute")
_simple("unmute", "Let him be heard again")
_simple("deaf", "Let him hear nothing")
_simple("undeaf", "Let him hear again")
_simple("hangup", "Hang up his phone; he may call again")
_simple("kick", "Put him out of the conference")


@_command(
    "participant.gain",
    Http("POST", _PERSON + "/gain"),
    "Set how loud he talks and listens, and whether he is levelled",
    takes=s.SetGain,
    gives=s.ParticipantView,
)
async def _gain(context: Context, ids: Mapping[str, str], value: s.SetGain) -> s.ParticipantView:
    return await context.service.gain(ids["conference_id"], ids["participant_id"], value, by=context.actor)


@_command(
    "participant.rename",
    Http("POST", _PERSON + "/rename"),
    "Give him another name",
    takes=s.RenameParticipant,
    gives=s.ParticipantView,
)
async def _rename(context: Context, ids: Mapping[str, str], value: s.RenameParticipant) -> s.ParticipantView:
    return await context.service.rename(ids["conference_id"], ids["participant_id"], value.name, by=context.actor)


# --- accounts and the server -----------------------------------------------------------------------------------------


@_command(
    "account.create",
    Http("POST", API + "/accounts", 201),
    "Create an account",
    takes=s.CreateAccount,
    gives=s.AccountCreated,
)
async def _create_account(context: Context, ids: Mapping[str, str], value: s.CreateAccount) -> s.AccountCreated:
    password = value.password or secrets.token_urlsafe(12)
    record = await context.accounts.add(value.number, password, display_name=value.name)
    made_up = None if value.password else password
    return s.AccountCreated(**account_view(record).model_dump(), password=made_up)


@_command("account.list", Http("GET", API + "/accounts"), "List the accounts", gives=s.AccountList)
async def _accounts(context: Context, ids: Mapping[str, str], value: None) -> s.AccountList:
    return s.AccountList(items=[account_view(record) for record in await context.accounts.list()])


@_command(
    "account.block",
    Http("POST", API + "/accounts/{number}/block"),
    "Refuse its registrations and sign-ins",
    gives=s.AccountView,
)
async def _block(context: Context, ids: Mapping[str, str], value: None) -> s.AccountView:
    return account_view(await context.accounts.block(ids["number"], True))


@_command("account.unblock", Http("POST", API + "/accounts/{number}/unblock"), "Accept it again", gives=s.AccountView)
async def _unblock(context: Context, ids: Mapping[str, str], value: None) -> s.AccountView:
    return account_view(await context.accounts.block(ids["number"], False))


@_command("account.delete", Http("DELETE", API + "/accounts/{number}", 204), "Delete an account")
async def _delete_account(context: Context, ids: Mapping[str, str], value: None) -> None:
    await context.accounts.remove(ids["number"])


@_command("server.status", Http("GET", API + "/status"), "How the server fares", gives=s.ServerStatus)
async def _status(context: Context, ids: Mapping[str, str], value: None) -> s.ServerStatus:
    return await context.service.status()
