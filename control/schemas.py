"""What the commands take and give at the edge: pydantic models, documented for the OpenAPI page.

Input models refuse unknown fields, so that a typing mistake is an error instead of a silent default. Times are RFC 3339
with a zone, durations minutes, gains decibels.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

MAX_GAIN_DB = 20.0

Role = Literal["chair", "guest"]
ConferenceState = Literal["planned", "waiting", "running", "ending", "ended"]
ParticipantState = Literal["absent", "invited", "ringing", "joined", "left", "failed", "kicked"]


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not contain line breaks or control characters")
    return text


Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), AfterValidator(_printable)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, max_length=80), AfterValidator(_printable)]
Pin = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{4,12}$"),
    Field(description="4 to 12 digits", examples=["482913"]),
]
ConferenceNumber = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{3,15}$"),
    Field(description="3 to 15 digits, unique among conferences that have not ended", examples=["204817"]),
]
PhoneNumber = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=255),
    AfterValidator(_printable),
    Field(
        description="A telephone number in any usual spelling (+375 29 123-45-67) or a SIP URI",
        examples=["375291234567"],
    ),
]
Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=254, pattern=r"^[^@\s]+@[^@\s]+$"),
    AfterValidator(_printable),
]
Talkers = Annotated[int, Field(ge=0, le=100)]
Gain = Annotated[float, Field(ge=-MAX_GAIN_DB, le=MAX_GAIN_DB, allow_inf_nan=False)]


class Input(BaseModel):
    """Base of all inputs."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Output(BaseModel):
    """Base of all outputs."""

    model_config = ConfigDict(frozen=True)


# --- conferences --------------------------------------------------------------------------------------------------


class CreateConference(Input):
    """A new conference. Everything left out is made up by the server or set to its default."""

    topic: Text = Field(default="", description="Free text")
    number: ConferenceNumber | None = Field(default=None, description="The number to call; made up when unset")
    start: Literal["now"] | AwareDatetime = Field(default="now", description='"now" or an RFC 3339 time in the future')
    duration_minutes: int | None = Field(
        default=None, ge=1, description="Planned length; the configured default when unset"
    )
    seats: int | None = Field(
        default=None, ge=1, description="How many can be in at once; the configured default when unset"
    )
    chair_pin: Pin | None = Field(default=None, description="The chair's PIN; made up when unset")
    guest_pin: Pin | None = Field(
        default=None, description="The guests' PIN; made up when the field is left out, null: guests need none"
    )
    levelling: bool = Field(default=True, description="Bring everybody's speech to one loudness")
    talkers: Talkers = Field(default=0, description="Most voices heard at once, the loudest; 0: no limit")
    silence_music: bool = Field(default=False, description="Keep out who plays music or tones instead of speaking")

    @model_validator(mode="after")
    def _pins_differ(self) -> Self:
        if self.chair_pin is not None and self.chair_pin == self.guest_pin:
            raise ValueError("chair_pin and guest_pin must differ, the PIN tells the chair from a guest")
        return self

    @property
    def makes_up_guest_pin(self) -> bool:
        """True when the field was left out, which is not the same as null."""
        return "guest_pin" not in self.model_fields_set


class ListConferences(Input):
    """Which conferences to list, newest first."""

    state: ConferenceState | None = Field(default=None, description="Only those in this state")
    limit: int = Field(default=50, ge=1, le=500, description="Page size")
    cursor: str | None = Field(default=None, max_length=200, description="``next_cursor`` of the page before")


class ExtendConference(Input):
    """Move the planned end."""

    minutes: int = Field(ge=1, le=1440, description="How much longer")


class SetSound(Input):
    """How the conference sounds; a field left out stays as it is."""

    levelling: bool | None = Field(default=None, description="Bring everybody's speech to one loudness")
    talkers: Talkers | None = Field(default=None, description="Most voices heard at once, the loudest; 0: no limit")
    silence_music: bool | None = Field(
        default=None, description="Keep out who plays music or tones instead of speaking"
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.levelling is None and self.talkers is None and self.silence_music is None:
            raise ValueError("give levelling, talkers or silence_music")
        return self


class ConferenceView(Output):
    """A conference as its operator sees it."""

    id: str
    number: str
    topic: str
    state: ConferenceState
    start: datetime
    end: datetime = Field(description="Planned end, or when it ended")
    duration_minutes: int
    seats: int
    seats_taken: int
    locked: bool
    levelling: bool
    talkers: int = Field(description="Most voices heard at once; 0: no limit")
    silence_music: bool
    chair_pin: str
    guest_pin: str | None
    uri: str = Field(description="The SIP URI to call")
    created: datetime
    ended_reason: str | None


class ConferencePage(Output):
    """One page of conferences."""

    items: list[ConferenceView]
    next_cursor: str | None = Field(description="Give it as ``cursor`` for the next page; null on the last one")
    total: int = Field(description="How many there are on all pages")


# --- participants -------------------------------------------------------------------------------------------------


class AddParticipant(Input):
    """A person who is to take part."""

    number: PhoneNumber
    name: Name = ""
    email: Email | None = None
    role: Role = "guest"
    invite: bool = Field(default=False, description="Ring the phone at once")


class InviteParticipants(Input):
    """Whose phones to ring."""

    participants: list[str] = Field(min_length=1, max_length=1000, description="Participant ids")


class RenameParticipant(Input):
    name: Name


class SetGain(Input):
    """Volume in decibels; a field left out stays as it is."""

    talk_gain_db: Gain | None = Field(default=None, description="How loud the others hear him")
    listen_gain_db: Gain | None = Field(default=None, description="How loud he hears the others")
    levelling: bool | None = Field(
        default=None, description="Bring his speech to everybody's loudness, unless the conference has it off"
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.talk_gain_db is None and self.listen_gain_db is None and self.levelling is None:
            raise ValueError("give talk_gain_db, listen_gain_db or levelling")
        return self


class ParticipantView(Output):
    """A participant and how he is now."""

    id: str
    number: str
    name: str
    email: str | None
    role: Role
    state: ParticipantState
    reason: str | None = Field(description="Why he failed, left or was kicked, in words")
    failure: str | None = Field(description="Kind of failure: busy, no_answer, rejected, overloaded, ...")
    muted: bool
    deaf: bool
    held: bool = Field(description="His phone has put us on hold")
    talk_gain_db: float
    listen_gain_db: float
    levelling: bool
    talking: bool
    playing_music: bool = Field(description="Music or tones come from his phone instead of speech")
    leg: str | None
    joined: datetime | None


class ParticipantList(Output):
    items: list[ParticipantView]


# --- live state, legs ---------------------------------------------------------------------------------------------


class LegFigures(Output):
    """What the mixer measures of a leg. Null: not known (yet), or the record is older than the figure."""

    packets_received: int
    packets_sent: int
    packets_lost: int
    packets_late: int
    packets_duplicate: int
    packets_rejected: int
    frames_concealed: int
    frames_played: int
    jitter_ms: float
    playout_delay_ms: float
    round_trip_ms: float | None
    remote_lost_fraction: float | None = Field(description="Lost of what we send, as the far side reports, 0 to 1")
    loss_fraction: float | None = Field(default=None, description="Missing of the frames due here, 0 to 1")
    burst_ratio: float | None = Field(default=None, description="1: losses are random; more: they come in bursts")
    rating: float | None = Field(
        default=None, description="R of the E-model: at most 93 for a narrowband codec, 129 for a wideband one"
    )
    mos: float | None = Field(default=None, description="Mean opinion score by the E-model, 1 to 4.5, as heard here")
    gain_db: float | None = Field(default=None, description="What levelling adds now")
    level_dbov: float
    talk_seconds: float


class LiveParticipant(Output):
    """A participant who is in, with his leg's figures; ``figures`` is null while no mixer has the leg."""

    participant: ParticipantView
    codec: str | None
    figures: LegFigures | None


class LiveConference(Output):
    """Who is in, who talks, how the voice fares."""

    conference: ConferenceView
    talking: list[str] = Field(description="Ids of the participants who talk now")
    participants: list[LiveParticipant]


class NetworkParticipant(Output):
    """How the network serves a participant who is in or being called."""

    id: str
    number: str
    name: str
    state: ParticipantState
    held: bool
    codec: str | None
    figures: LegFigures | None = Field(description="Null while no mixer has his leg")


class NetworkSummary(Output):
    """The participants' figures in a few numbers; those nothing was heard of yet do not count."""

    legs: int = Field(description="How many count")
    worst_mos: float | None
    mean_mos: float | None
    lossy: list[str] = Field(description="Ids of participants with more than 2 % loss in either direction")


class NetworkReport(Output):
    """The network state report of a conference."""

    conference_id: str
    state: ConferenceState
    time: datetime
    summary: NetworkSummary
    participants: list[NetworkParticipant]


class LegView(Output):
    """A call detail record: one leg from its first signalling to its end."""

    id: str
    conference_id: str | None
    participant_id: str | None = Field(description="Null when he was never in")
    direction: Literal["in", "out"]
    from_number: str
    to_number: str
    transport: str | None
    started: datetime
    ringing: datetime | None
    answered: datetime | None
    ended: datetime | None
    end_kind: str | None = Field(description="remote, local, kicked, no_media, busy, overloaded, ...")
    end_reason: str | None
    status: int | None = Field(description="Final SIP status of a call that was not answered")
    codec: str | None
    figures: LegFigures | None = Field(description="The mixer's closing figures")


class ListLegs(Input):
    """Which call detail records to list, newest first."""

    limit: int = Field(default=50, ge=1, le=500, description="Page size")
    cursor: str | None = Field(default=None, max_length=200, description="``next_cursor`` of the page before")


class LegPage(Output):
    items: list[LegView]
    next_cursor: str | None = Field(description="Give it as ``cursor`` for the next page; null on the last one")
    total: int = Field(description="How many there are on all pages")


# --- accounts -----------------------------------------------------------------------------------------------------


class CreateAccount(Input):
    """An account: a telephone that registers with number and password, or a person with an e-mail address."""

    number: PhoneNumber = Field(
        description="375 and nine digits, an extension of 2 to 6 digits, or an e-mail address",
        examples=["375291234567"],
    )
    password: Annotated[str, StringConstraints(min_length=8, max_length=128)] | None = Field(
        default=None, description="Made up, and shown once in the answer, when unset"
    )
    name: Name = ""


class AccountView(Output):
    number: str
    kind: Literal["telephone", "email"]
    name: str
    role: Literal["user", "operator", "admin"]
    blocked: bool
    created: datetime


class AccountCreated(AccountView):
    password: str | None = Field(description="Only when the server made it up; it cannot be shown again")


class AccountList(Output):
    items: list[AccountView]


# --- the server ---------------------------------------------------------------------------------------------------


class MixerView(Output):
    """The last second of one mixer process."""

    up: bool
    takes_legs: bool = Field(description="False: new calls are refused with 503 until its load is less")
    share: float = Field(description="Of the tick used, 0 to 1")
    legs: int
    conferences: int
    ticks: int
    late_ticks: int
    skipped_ticks: int
    tick_us: float
    tick_max_us: float
    packets_received: int
    packets_sent: int
    packets_unmatched: int
    send_errors: int
    events_dropped: int


class ServerStatus(Output):
    version: str
    started: datetime
    conferences: int = Field(description="Conferences that have not ended")
    calls: int = Field(description="Phone legs in any state")
    participants_in: int
    mixers: list[MixerView]
