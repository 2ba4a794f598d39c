"""Where calls and conferences meet: callers are let in or refused, what becomes of their legs is reported on."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from control.admission import Caller, RefusedError
from control.attempts import Attempts
from control.calls import Calls, CallSettings
from control.conference import Conference
from control.effects import Effect, HangUp, RingParticipant, SetMedia, SetSound
from control.numbers import caller_number
from control.participant import Participant
from control.ports import Media, Phones
from control.registry import Records, Registry
from sip.events import IncomingCall

WRONG_PINS = 5
WRONG_PINS_PER_SOURCE = 50
WRONG_PIN_SECONDS = 300.0

log = structlog.get_logger(__name__)


class Reception:
    """Observes the calls (control.calls.Observer) and carries out what the conferences want of them.

    ``new_id`` makes up leg ids, ``clock`` gives Unix seconds.
    """

    def __init__(
        self,
        store: Records,
        phones: Phones,
        media: Media,
        *,
        settings: CallSettings,
        clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self.registry = Registry(store, self._carry_out, clock)
        self.calls = Calls(phones, media, self, store.save, settings=settings, clock=clock)
        self.closed = False
        """No more calls are let in."""
        self._clock = clock
        self._new_id = new_id
        self._callers = Attempts(WRONG_PINS, WRONG_PIN_SECONDS)
        self._sources = Attempts(WRONG_PINS_PER_SOURCE, WRONG_PIN_SECONDS)

    def _carry_out(self, conference: Conference, effect: Effect) -> None:
        match effect:
            case RingParticipant(participant, leg, number):
                self.calls.invite(
                    leg,
                    number,
                    conference=conference.id,
                    participant=participant,
                    from_user=conference.plan.number,
                    name=conference.plan.topic,
                    room=conference.plan.sound,
                )
            case HangUp(leg, kind, reason):
                if leg in self.calls.legs:
                    self.calls.hang_up(leg, kind, reason)
                else:
                    conference.left(leg, reason, self._clock())
            case SetMedia(leg, mute, deaf, talk, listen, levelling):
                self.calls.set_media(
                    leg, mute=mute, deaf=deaf, talk_gain_db=talk, listen_gain_db=listen, levelling=levelling
                )
            case SetSound(room):
                self.calls.set_sound(conference.id, room)

    # --- control.calls.Observer --------------------------------------------------------------------------------------

    def incoming(self, event: IncomingCall) -> None:
        """Let a caller into the conference whose number he called, or say why not."""
        now = self._clock()
        leg = self._new_id()
        number, _, pin = event.user.strip().removeprefix("+").partition("*")
        if self.closed:
            self.calls.refuse(event, 503, "The server is being stopped", leg_id=leg, number=number, retry_after=10)
            return
        conference = self.registry.find(number)
        if conference is None:
            ended = self.registry.has_ended(number)
            status, reason = (410, "The conference has ended") if ended else (404, "No conference has this number")
            log.debug("call refused", number=number, status=status, source=event.source[0])
            self.calls.refuse(event, status, reason, leg_id=leg, number=number)
            return
        caller = Caller(
            number=event.account or caller_number(event.from_user),
            name=event.from_name,
            authenticated=event.account is not None,
        )
        try:
            participant = self._admit(conference, caller, pin or None, leg, event.source[0], now)
        except RefusedError as refusal:
            self.calls.refuse(
                event,
                refusal.status,
                refusal.reason,
                leg_id=leg,
                number=number,
                conference=conference.id,
                retry_after=refusal.retry_after,
            )
        else:
            self.calls.accept(
                leg,
                event,
                conference=conference.id,
                participant=participant.id,
                number=number,
                room=conference.plan.sound,
            )
        self.registry.settle(conference)

    def _admit(
        self, conference: Conference, caller: Caller, pin: str | None, leg: str, source: str, now: float
    ) -> Participant:
        """PINs may be tried a few times per caller, and a few times more per source, since From can be invented."""
        if pin is None:
            return conference.admit(caller, None, leg, now)
        who = caller.number if caller.authenticated else (source, caller.number)
        where = (source, conference.id)
        if self._callers.blocked(who, now) or self._sources.blocked(where, now):
            raise RefusedError(403, "Too many wrong PINs, try again later")
        try:
            participant = conference.admit(caller, pin, leg, now)
        except RefusedError as refusal:
            if refusal.wrong_pin:
                self._callers.wrong(who, now)
                self._sources.wrong(where, now)
            raise
        self._callers.right(who)
        return participant

    def ringing(self, conference: str, leg: str) -> None:
        self._report(conference, lambda c, now: c.ringing(leg, now))

    def joined(self, conference: str, leg: str) -> None:
        self._report(conference, lambda c, now: c.joined(leg, now))

    def failed(self, conference: str, leg: str, failure: str, status: int, reason: str) -> None:
        self._report(conference, lambda c, now: c.failed(leg, failure, status, reason, now))

    def left(self, conference: str, leg: str, reason: str) -> None:
        self._report(conference, lambda c, now: c.left(leg, reason, now))

    def held(self, conference: str, leg: str, on: bool) -> None:
        self._report(conference, lambda c, now: c.held(leg, on, now))

    def talks(self, conference: str, leg: str, talking: bool, level_dbov: float) -> None:
        self._report(conference, lambda c, now: c.talks(leg, talking, level_dbov, now))

    def music(self, conference: str, leg: str, playing: bool, silenced: bool) -> None:
        self._report(conference, lambda c, now: c.music(leg, playing, silenced, now))

    def digit(self, conference: str, leg: str, digit: str) -> None:
        self._report(conference, lambda c, now: c.digit(leg, digit, now))

    def media_lost(self, conference: str, reason: str) -> None:
        self._report(conference, lambda c, now: c.media_lost(reason, now))

    def media_restored(self, conference: str, seconds: float) -> None:
        self._report(conference, lambda c, now: c.media_restored(seconds, now))

    def _report(self, conference_id: str, tell: Callable[[Conference, float], None]) -> None:
        conference = self.registry.conferences.get(conference_id)
        if conference is not None:
            tell(conference, self._clock())
            self.registry.settle(conference)
