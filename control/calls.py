"""The phone legs: SIP events and session descriptions on one side, the mixer on the other, conferences above.

Knows nothing of conferences but their ids. Every leg that ``accept`` or ``invite`` starts ends in exactly one
``failed`` or ``left`` to the observer, and its call detail record is saved, however it ends.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from control.call_records import CallRecords
from control.legs import Leg, LegState, info_digit, leg_media, refusal_of, wanted_family
from control.ports import Media, MediaFullError, MediaLost, MediaRestored, NoMediaAddressError, Phones
from control.store.records import LegRecord
from mixer import protocol as mx
from sdp.errors import SdpError
from sdp.negotiation import AudioSession, AudioSettings, Negotiation
from sip import events as sip

BYE_SECONDS = 5.0
"""Silence after an RTCP BYE that ends the leg; the BYE alone does not, phones send one when they only change codecs."""

log = structlog.get_logger(__name__)


class Observer(Protocol):
    """Who is told what becomes of calls, by the ids of conference and leg: the conference service."""

    def incoming(self, event: sip.IncomingCall) -> None:
        """Answer with Calls.accept or Calls.refuse."""

    def ringing(self, conference: str, leg: str) -> None: ...

    def joined(self, conference: str, leg: str) -> None: ...

    def failed(self, conference: str, leg: str, failure: str, status: int, reason: str) -> None:
        """The call did not come about; the leg is gone."""

    def left(self, conference: str, leg: str, reason: str) -> None:
        """The leg is gone."""

    def held(self, conference: str, leg: str, on: bool) -> None: ...

    def talks(self, conference: str, leg: str, talking: bool, level_dbov: float) -> None: ...

    def music(self, conference: str, leg: str, playing: bool, silenced: bool) -> None: ...

    def digit(self, conference: str, leg: str, digit: str) -> None: ...

    def media_lost(self, conference: str, reason: str) -> None: ...

    def media_restored(self, conference: str, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class CallSettings:
    """What all legs have in common. ``codecs`` in our order of preference; seconds of silence end a leg."""

    codecs: tuple[str, ...] = ("OPUS", "G722", "PCMA", "PCMU")
    inactivity_seconds: float = 30.0


class Calls:
    """All legs there are. Nothing of one is kept after its end."""

    def __init__(
        self,
        phones: Phones,
        media: Media,
        observer: Observer,
        save: Callable[[LegRecord], None],
        *,
        settings: CallSettings,
        clock: Callable[[], float],
    ) -> None:
        self.legs: dict[str, Leg] = {}
        self._by_call: dict[str, Leg] = {}
        self._phones = phones
        self._media = media
        self._observer = observer
        self._records = CallRecords(save, media, clock)
        self._settings = settings
        self._clock = clock
        self._on_sip: dict[type[sip.Event], Callable[[Any], None]] = {
            sip.IncomingCall: observer.incoming,
            sip.CallCancelled: self._cancelled,
            sip.CallConfirmed: self._confirmed,
            sip.CallProgress: self._progress,
            sip.CallAnswered: self._answered,
            sip.CallFailed: self._call_failed,
            sip.CallEnded: self._call_ended,
            sip.SessionOffered: self._session_offered,
            sip.SessionAnswered: self._session_answered,
            sip.SessionRefused: self._session_refused,
            sip.InfoReceived: self._info,
        }
        self._on_media: dict[type[mx.Message], Callable[[Any], None]] = {
            mx.Digit: self._media_digit,
            mx.Talking: self._talking,
            mx.Music: self._music,
            mx.Inactive: self._inactive,
            mx.RtcpBye: self._rtcp_bye,
            MediaLost: self._media_lost,
            MediaRestored: self._media_restored,
        }
        phones.subscribe(self._handle_sip)
        media.subscribe(self._handle_media)

    def _handle_sip(self, event: sip.Event) -> None:
        handler = self._on_sip.get(type(event))
        if handler is not None:
            handler(event)

    def _handle_media(self, message: mx.Message) -> None:
        handler = self._on_media.get(type(message))
        if handler is not None:
            handler(message)

    # --- what the service asks for -----------------------------------------------------------------------------------

    def accept(
        self,
        leg_id: str,
        event: sip.IncomingCall,
        *,
        conference: str,
        participant: str,
        number: str,
        room: mx.RoomSettings,
    ) -> None:
        """Answer an incoming call with the conference's sound. ``number``: what was called, without any PIN."""
        cdr = self._records.incoming(leg_id, event, number)
        cdr.conference = conference
        try:
            family = wanted_family(event.offer, event.source[0])
            leg = self._reserve(cdr, participant, event.call, LegState.ANSWERED, family, room)
        except (SdpError, MediaFullError, NoMediaAddressError) as error:
            self._refuse_leg(event, cdr, error)
            return
        leg.source_host = event.source[0]
        try:
            if event.offer is None:
                leg.offered = True
                body, session = leg.negotiation.offer(), None
            else:
                session = leg.negotiation.receive_offer(event.offer)
                body = leg.negotiation.answer()
        except SdpError as error:
            self._media.release(leg_id)
            self._refuse_leg(event, cdr, error)
            return
        self._enter(leg)
        self._records.save(cdr)
        self._phones.answer(event.call, body)
        if session is not None:
            self._connect(leg, session)

    def refuse(
        self,
        event: sip.IncomingCall,
        status: int,
        reason: str,
        *,
        leg_id: str,
        number: str,
        conference: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        """Turn an incoming call away. A call to an existing conference leaves a call detail record."""
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        self._phones.reject(event.call, status, reason, headers)
        if conference is not None:
            cdr = self._records.incoming(leg_id, event, number)
            cdr.conference = conference
            self._records.close(cdr, "refused", reason, status)

    def invite(
        self,
        leg_id: str,
        to: str,
        *,
        conference: str,
        participant: str,
        from_user: str,
        name: str,
        room: mx.RoomSettings,
    ) -> None:
        """Call a number or SIP URI into a conference. The caller shown is ``from_user``, called ``name``."""
        cdr = LegRecord(
            id=leg_id,
            conference=conference,
            participant=participant,
            direction="out",
            from_number=from_user,
            to_number=to,
            started=self._records.now(),
        )
        family = 6 if "@[" in to or ":[" in to else 4
        try:
            leg = self._reserve(cdr, participant, "", LegState.CALLING, family, room)
        except (MediaFullError, NoMediaAddressError) as error:
            refusal = refusal_of(error)
            self._records.close(cdr, refusal.kind, refusal.reason)
            self._observer.failed(conference, leg_id, refusal.kind, refusal.status, refusal.reason)
            return
        leg.call = self._phones.invite(to, leg.negotiation.offer(), from_user=from_user, from_name=name)
        self._enter(leg)
        self._records.save(cdr)

    def hang_up(self, leg_id: str, kind: str, reason: str) -> None:
        """End a leg whatever its state; one that is not there is ignored."""
        leg = self.legs.get(leg_id)
        if leg is not None:
            self._phones.hang_up(leg.call, reason)
            self._close(leg, kind, reason)
            self._observer.left(leg.conference, leg.id, reason)

    def set_media(
        self, leg_id: str, *, mute: bool, deaf: bool, talk_gain_db: float, listen_gain_db: float, levelling: bool
    ) -> None:
        """What the leg says and hears; a leg that is not there is ignored."""
        if leg_id in self.legs:
            self._media.adjust(
                leg_id,
                mute=mute,
                deaf=deaf,
                talk_gain_db=talk_gain_db,
                listen_gain_db=listen_gain_db,
                levelling=levelling,
            )

    def set_sound(self, conference: str, room: mx.RoomSettings) -> None:
        """How the conference sounds from now on."""
        self._media.configure(conference, room)

    async def close(self, reason: str) -> None:
        """Hang all legs up and wait until their records are saved."""
        for leg_id in list(self.legs):
            self.hang_up(leg_id, "server_stopped", reason)
        await self._records.closed()

    # --- SIP ---------------------------------------------------------------------------------------------------------

    def _confirmed(self, event: sip.CallConfirmed) -> None:
        leg = self._by_call.get(event.call)
        if leg is None:
            return
        if leg.offered:
            leg.offered = False
            if not self._take_answer(leg, event.answer):
                return
        if leg.state is LegState.ANSWERED:
            self._up(leg)
        self._bind(leg)

    def _progress(self, event: sip.CallProgress) -> None:
        """180 rings, and so does 183 with early media, which nobody is there to hear."""
        leg = self._by_call.get(event.call)
        if leg is None or leg.state is not LegState.CALLING:
            return
        leg.cdr.call_id = event.call_id
        if event.body:
            leg.early = event.body
        if leg.cdr.ringing is None and (event.status == 180 or (event.status == 183 and event.body)):
            leg.cdr.ringing = self._records.now()
            self._observer.ringing(leg.conference, leg.id)

    def _answered(self, event: sip.CallAnswered) -> None:
        leg = self._by_call.get(event.call)
        if leg is None or leg.state is not LegState.CALLING:
            return
        leg.source_host = event.source[0]
        leg.cdr.transport, leg.cdr.call_id = event.transport, event.call_id
        if self._take_answer(leg, event.body or leg.early):
            leg.early = None
            self._up(leg)
            self._bind(leg)

    def _call_failed(self, event: sip.CallFailed) -> None:
        leg = self._by_call.get(event.call)
        if leg is not None:
            leg.cdr.call_id = event.call_id
            self._close(leg, event.kind, event.reason, event.status)
            self._observer.failed(leg.conference, leg.id, event.kind, event.status, event.reason)

    def _cancelled(self, event: sip.CallCancelled) -> None:
        leg = self._by_call.get(event.call)
        if leg is not None:
            self._close(leg, sip.FailureKind.CANCELLED, event.reason, 487)
            self._observer.left(leg.conference, leg.id, event.reason or "The caller gave up")

    def _call_ended(self, event: sip.CallEnded) -> None:
        leg = self._by_call.get(event.call)
        if leg is not None:
            reason = event.reason or ("Hung up" if event.kind is sip.EndKind.REMOTE else event.kind)
            self._close(leg, event.kind, reason)
            self._observer.left(leg.conference, leg.id, reason)

    def _session_offered(self, event: sip.SessionOffered) -> None:
        leg = self._by_call.get(event.call)
        if leg is None:
            return
        if event.offer is None:
            leg.offered = True
            self._phones.accept_session(leg.call, leg.negotiation.offer())
            return
        try:
            session = leg.negotiation.receive_offer(event.offer)
            body = leg.negotiation.answer()
        except SdpError as error:
            refusal = refusal_of(error)
            self._phones.refuse_session(leg.call, refusal.status, refusal.reason)
            return
        self._phones.accept_session(leg.call, body)
        self._connect(leg, session)

    def _session_answered(self, event: sip.SessionAnswered) -> None:
        leg = self._by_call.get(event.call)
        if leg is not None:
            self._take_answer(leg, event.answer)

    def _session_refused(self, event: sip.SessionRefused) -> None:
        leg = self._by_call.get(event.call)
        if leg is not None:
            log.info("new session refused, the old one goes on", leg=leg.id, status=event.status, reason=event.reason)

    def _bind(self, leg: Leg) -> None:
        """Bind a phone that answered with several codecs to one (RFC 3264 section 10.2)."""
        session = leg.negotiation.session
        if leg.state is LegState.UP and session is not None and session.several:
            self._phones.modify_session(leg.call, leg.negotiation.offer())

    def _info(self, event: sip.InfoReceived) -> None:
        leg = self._by_call.get(event.call)
        digit = info_digit(event.content_type, event.body)
        if leg is not None and digit is not None:
            self._key(leg, "info", digit)

    # --- the mixer ---------------------------------------------------------------------------------------------------

    def _media_digit(self, message: mx.Digit) -> None:
        leg = self.legs.get(message.leg)
        if leg is not None:
            self._key(leg, "rtp", message.digit)

    def _key(self, leg: Leg, way: Any, digit: str) -> None:
        leg.keypad = leg.keypad or way
        if leg.keypad == way and leg.state is LegState.UP:
            self._observer.digit(leg.conference, leg.id, digit)

    def _talking(self, message: mx.Talking) -> None:
        leg = self.legs.get(message.leg)
        if leg is not None:
            self._observer.talks(leg.conference, leg.id, message.talking, message.level_dbov)

    def _music(self, message: mx.Music) -> None:
        leg = self.legs.get(message.leg)
        if leg is not None:
            self._observer.music(leg.conference, leg.id, message.playing, message.silenced)

    def _inactive(self, message: mx.Inactive) -> None:
        leg = self.legs.get(message.leg)
        if leg is None or leg.silent:
            return
        now = self._clock()
        silence = min(message.seconds, now - leg.expected_since)
        said_bye = leg.rtcp_bye is not None and now - silence <= leg.rtcp_bye + 1
        if silence >= self._settings.inactivity_seconds or (said_bye and silence >= BYE_SECONDS):
            log.info("no media", leg=leg.id, seconds=round(silence, 1))
            self.hang_up(leg.id, "no_media", "no media")

    def _rtcp_bye(self, message: mx.RtcpBye) -> None:
        leg = self.legs.get(message.leg)
        if leg is not None:
            leg.rtcp_bye = self._clock()

    def _media_lost(self, message: MediaLost) -> None:
        for conference in self._conferences_of(message.legs):
            self._observer.media_lost(conference, message.reason)

    def _media_restored(self, message: MediaRestored) -> None:
        now = self._clock()
        for name in message.legs:
            leg = self.legs.get(name)
            if leg is not None:
                leg.expected_since = now
        for conference in self._conferences_of(message.legs):
            self._observer.media_restored(conference, message.seconds)

    def _conferences_of(self, legs: Iterable[str]) -> list[str]:
        return list(dict.fromkeys(self.legs[leg].conference for leg in legs if leg in self.legs))

    # --- within ------------------------------------------------------------------------------------------------------

    def _reserve(
        self, cdr: LegRecord, participant: str, call: str, state: LegState, family: int, room: mx.RoomSettings
    ) -> Leg:
        """Raises MediaFullError, NoMediaAddressError."""
        conference = cdr.conference or ""
        address = self._media.reserve(cdr.id, conference, family=family, room=room)
        settings = AudioSettings(
            address.host, address.port, session_id=secrets.randbits(53), codecs=self._settings.codecs
        )
        return Leg(cdr.id, conference, participant, call, Negotiation(settings), address, cdr, state)

    def _enter(self, leg: Leg) -> None:
        self.legs[leg.id] = leg
        self._by_call[leg.call] = leg

    def _take_answer(self, leg: Leg, answer: bytes | None) -> bool:
        """The far side's answer to our offer. What cannot be used ends a call that is being set up, nothing else."""
        try:
            if not answer:
                raise SdpError("answer", "is missing")
            session = leg.negotiation.receive_answer(answer)
        except SdpError as error:
            refusal = refusal_of(error)
            if leg.state is LegState.UP:
                log.info("answer not usable, the old session goes on", leg=leg.id, reason=refusal.reason)
                return False
            self._phones.hang_up(leg.call, refusal.reason)
            self._close(leg, refusal.kind, refusal.reason, refusal.status)
            self._observer.failed(leg.conference, leg.id, refusal.kind, refusal.status, refusal.reason)
            return False
        self._connect(leg, session)
        return True

    def _connect(self, leg: Leg, session: AudioSession) -> None:
        """Give the mixer what was agreed on, and see whether the far side holds the call."""
        self._media.connect(leg.id, leg_media(session, leg.source_host))
        leg.connected = True
        leg.cdr.codec = session.codec
        silent = session.on_hold or not session.receive
        if silent != leg.silent or not leg.expected_since:
            leg.silent = silent
            leg.expected_since = self._clock()
        if session.on_hold != leg.held:
            leg.held = session.on_hold
            if leg.state is LegState.UP:
                self._observer.held(leg.conference, leg.id, leg.held)

    def _up(self, leg: Leg) -> None:
        leg.state = LegState.UP
        leg.cdr.participant = leg.participant
        leg.cdr.answered = self._records.now()
        self._observer.joined(leg.conference, leg.id)
        self._records.save(leg.cdr)
        if leg.held and leg.state is LegState.UP:
            self._observer.held(leg.conference, leg.id, True)

    def _close(self, leg: Leg, kind: str, reason: str, status: int | None = None) -> None:
        """Forget the leg; its record is saved with the mixer's closing figures when it was in the mixer."""
        leg.state = LegState.OVER
        self.legs.pop(leg.id, None)
        self._by_call.pop(leg.call, None)
        if not leg.connected:
            self._media.release(leg.id)
            self._records.close(leg.cdr, kind, reason, status)
            return
        self._records.close_with_figures(leg.cdr, kind, reason, status)

    def _refuse_leg(
        self, event: sip.IncomingCall, cdr: LegRecord, error: SdpError | MediaFullError | NoMediaAddressError
    ) -> None:
        """A call that was let in, but cannot be answered."""
        refusal = refusal_of(error)
        self._phones.reject(event.call, refusal.status, refusal.reason, refusal.headers)
        self._records.close(cdr, refusal.kind, refusal.reason, refusal.status)
        self._observer.failed(cdr.conference or "", cdr.id, refusal.kind, refusal.status, refusal.reason)
