"""What control needs from the layers below, as small typing.Protocol ports.

``Phones`` is filled by ``sip.endpoint.Endpoint``, ``Media`` by ``control.media.MixerPool``; tests fill them with
in-memory doubles that keep the same promises. Nothing here blocks: methods only queue, what comes of them arrives as
events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from mixer.protocol import LegMedia, LegStats, Load, Message, RoomSettings
from sip.events import Event


class Phones(Protocol):
    """The SIP side. ``call`` names come from IncomingCall events or from invite()."""

    def subscribe(self, handler: Callable[[Event], None]) -> None:
        """Give every event to ``handler``, in order."""

    def invite(self, number: str, offer: bytes, *, from_user: str, from_name: str = "") -> str:
        """Call a number: a registered account's contacts (all of them, forked), else the trunk. Returns the call.

        Accepts a full SIP URI too. Never raises for what the network does: the outcome is CallProgress, CallAnswered
        or CallFailed.
        """

    def ring(self, call: str, status: int = 180, body: bytes | None = None) -> None: ...

    def answer(self, call: str, body: bytes) -> None: ...

    def reject(self, call: str, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        """Refuse an incoming call; ``reason`` also goes out as a Reason header field (RFC 3326)."""

    def hang_up(self, call: str, reason: str = "") -> None:
        """End the call whatever its state: CANCEL, a final refusal, or BYE. A call already gone is ignored."""

    def accept_session(self, call: str, body: bytes) -> None:
        """Answer a SessionOffered."""

    def refuse_session(self, call: str, status: int, reason: str) -> None:
        """Refuse a SessionOffered; the old session goes on."""

    def modify_session(self, call: str, offer: bytes) -> None:
        """Propose a new session (re-INVITE); glare is retried by the agent (RFC 3261 section 14.1)."""


DEFAULT_ROOM = RoomSettings()


@dataclass(frozen=True, slots=True)
class MediaLost(Message):
    """A mixer process died or hung; its legs have no sound until MediaRestored. No call is hung up."""

    mixer: int
    reason: str
    legs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MediaRestored(Message):
    """Another process took over the mixer's lanes and legs, so many seconds after the loss was noticed."""

    mixer: int
    seconds: float
    legs: tuple[str, ...]


class MediaFullError(Exception):
    """No mixer can take another leg now."""

    def __init__(self, reason: str, retry_after: int = 10) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class NoMediaAddressError(Exception):
    """Media of that address family is not received here."""

    def __init__(self, family: int) -> None:
        super().__init__(f"no media address for IPv{family}")


@dataclass(frozen=True, slots=True)
class MixerState:
    """A mixer's newest load, whether its process runs, and whether it takes new legs."""

    load: Load
    up: bool
    takes_legs: bool


@dataclass(frozen=True, slots=True)
class MediaAddress:
    """Where a leg's media is received: what goes into our session description."""

    host: str
    port: int
    lane: int
    ssrc: int


class Media(Protocol):
    """The mixer processes behind one face."""

    def subscribe(self, handler: Callable[[Message], None]) -> None:
        """Give every mixer event (mixer.protocol) to ``handler``, in order."""

    def reserve(self, leg: str, conference: str, *, family: int = 4, room: RoomSettings = DEFAULT_ROOM) -> MediaAddress:
        """A place for the leg on a lane of its conference's mixer, the conference sounding as ``room`` says.

        Raises MediaFullError, NoMediaAddressError.
        """

    def check_capacity(self, conference: str, legs: int = 1) -> None:
        """Raises MediaFullError unless there is a place for so many more legs of the conference now."""

    def configure(self, conference: str, room: RoomSettings) -> None:
        """How the conference sounds from now on, for the legs that are there."""

    def connect(self, leg: str, media: LegMedia) -> None:
        """Set the reserved leg's media going, or change it after a re-INVITE."""

    def adjust(
        self,
        leg: str,
        *,
        mute: bool | None = None,
        deaf: bool | None = None,
        talk_gain_db: float | None = None,
        listen_gain_db: float | None = None,
        levelling: bool | None = None,
    ) -> None:
        """Change what the leg says and hears, also before connect()."""

    def release(self, leg: str) -> None:
        """The leg is gone; unknown legs are ignored."""

    async def stats(self, leg: str) -> LegStats | None:
        """Live figures of a leg; None when it is not (or no longer) in a mixer."""

    async def stats_of(self, legs: Iterable[str]) -> dict[str, LegStats]:
        """Live figures of many legs, without those that are in no mixer."""

    def mixers(self) -> list[MixerState]:
        """Every mixer that has reported."""
