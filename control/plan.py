"""What is planned of a conference, and the states it goes through."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from control.ports import DEFAULT_ROOM
from mixer.protocol import RoomSettings


class ConferenceState(StrEnum):
    PLANNED = "planned"
    WAITING = "waiting"
    """Its time has come, nobody has been in yet."""
    RUNNING = "running"
    ENDING = "ending"
    """Everybody is being hung up."""
    ENDED = "ended"

    @property
    def is_over(self) -> bool:
        return self in {ConferenceState.ENDING, ConferenceState.ENDED}


@dataclass(slots=True)
class Plan:
    """What was planned. Times are Unix seconds."""

    id: str
    number: str
    topic: str
    starts: float
    ends: float
    seats: int
    chair_pin: str
    guest_pin: str | None
    created: float
    owner: str = ""
    sound: RoomSettings = DEFAULT_ROOM
    request_key: str | None = None
