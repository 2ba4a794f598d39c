"""What a conference wants done outside: intents that its owner carries out right after the command that caused them."""

from __future__ import annotations

from dataclasses import dataclass

from mixer.protocol import RoomSettings


@dataclass(frozen=True, slots=True)
class Effect:
    """Base of all effects."""


@dataclass(frozen=True, slots=True)
class RingParticipant(Effect):
    """Call ``number`` and report of the call under the name ``leg``."""

    participant: str
    leg: str
    number: str


@dataclass(frozen=True, slots=True)
class HangUp(Effect):
    """End the leg whatever its state. ``kind`` goes into the call detail record, ``reason`` to the phone as well."""

    leg: str
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class SetMedia(Effect):
    """What the leg says and hears from now on."""

    leg: str
    mute: bool = False
    deaf: bool = False
    talk_gain_db: float = 0.0
    listen_gain_db: float = 0.0
    levelling: bool = True


@dataclass(frozen=True, slots=True)
class SetSound(Effect):
    """How the conference sounds from now on."""

    room: RoomSettings
