"""The voice guide of one call: a caller is led from the greeting into his conference, or told why not.

Sans-IO: it acts by ``control.guide.table``. Every input takes ``now`` (Unix seconds) and returns what is to be done,
in order (``control.guide.messages``). The caller's duty: begin with ``start``; report every key, the end of what is
said, the answer to every question; call ``handle_timer`` when the time ``timer()`` tells has come. After Enter or
HangUp the guide is done (``state`` is IN or OVER): then there is no timer, and inputs do nothing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from control.guide import messages as m
from control.guide.phrase import Phrase, phrase
from control.guide.table import FINAL, TABLE, State, Takes, Trigger
from control.guide.words import PARTING, entrance, language_offers, starting
from control.keypad.keymap import Keymap, make_keymap

MAX_ENTRY = 32
"""An entry so long is taken for finished."""
MAX_AHEAD = 64
"""Keys kept that were typed ahead."""
MAX_SPEECH = 60.0
"""Seconds after which what is being said is taken for said, should its end never be reported."""
ANSWER_SECONDS = 10.0
"""How long a question to the owner may stay without answer."""
REMIND_SECONDS = 60.0
SILENCES = 2
"""A question is repeated once; unanswered again it is given up."""

_ASKING = frozenset({State.NUMBER, State.PIN, State.OPTIONAL_PIN})
_WAITING = frozenset({State.WAITING_CHAIR, State.WAITING_ROOM})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the guide waits, seconds, and how many ``attempts`` there are; see [guide] in config/veche.toml."""

    attempts: int = 3
    answer_seconds: float = 8.0
    pause_seconds: float = 4.0
    limit_seconds: float = 300.0
    wait_seconds: float = 1800.0
    name_seconds: float = 5.0


class Guide:
    """See the module's description.

    ``languages`` are offered when there are several; ``language`` is where it begins. ``conference``: the conference's
    own number, when the call was to that and not to a dial-in line. ``keymap``: of the keypad he will have.
    """

    def __init__(
        self,
        languages: tuple[str, ...],
        language: str,
        *,
        conference: str | None = None,
        patience: Patience | None = None,
        keymap: Keymap | None = None,
    ) -> None:
        self.state = State.GREETING
        self.language = language
        self._languages = languages
        self._own_number = conference
        self._patience = patience or Patience()
        self._keymap = keymap or make_keymap({})
        self._out: list[m.Output] = []
        self._speaking = False
        self._interruptible = True
        self._due: float | None = None
        self._limit = 0.0
        self._ahead: deque[str] = deque()
        self._entry = ""
        self._silences = 0
        self._wrong_numbers = self._wrong_pins = self._wrong_keys = 0
        self._found: m.Found | None = None
        self._grant: m.Granted | None = None
        self._after_hold: tuple[Trigger, tuple[Phrase, ...]] = (Trigger.GIVEN_UP, ())
        self._end = m.EndReason.TROUBLE

    # --- inputs ------------------------------------------------------------------------------------------------------

    def start(self, now: float) -> list[m.Output]:
        """The call stands."""
        self._limit = now + self._patience.limit_seconds
        self._out.append(m.SetLanguage(self.language))
        self._enter(State.GREETING, now)
        return self._take()

    def digit(self, key: str, now: float) -> list[m.Output]:
        """A key was pressed: 0-9, * or #; others (A-D) mean nothing."""
        self._catch_up(now)
        if len(key) == 1 and key in "0123456789*#":
            self._key(key, now)
        return self._take()

    def prompt_finished(self, now: float) -> list[m.Output]:
        """What the last Say asked for has been said."""
        self._catch_up(now)
        if self._speaking:
            self._heard(now)
        return self._take()

    def answer(self, answer: m.Answer, now: float) -> list[m.Output]:
        """The owner's answer to a question; Refused and Granted may also come unasked, when things change.

        One that comes too late or makes no sense in the present state is ignored.
        """
        self._catch_up(now)
        match answer:
            case m.Refused():
                self._refused(answer, now)
            case m.Granted():
                self._granted(answer, now)
            case m.Found() if self.state is State.FINDING:
                self._found = answer
                needed = answer.pin is m.PinNeed.REQUIRED
                self._go(Trigger.PIN_NEEDED if needed else Trigger.PIN_OPTIONAL, now)
            case m.NotFound() if self.state is State.FINDING:
                self._wrong_number(answer.delay, "number-unknown", now)
            case m.WrongPin() if self.state is State.CHECKING:
                self._wrong_pin(answer.delay, now)
        return self._take()

    def recording_finished(self, now: float) -> list[m.Output]:
        """The owner has stopped recording the name by himself (silence, for instance)."""
        self._catch_up(now)
        if self.state is State.NAME:
            self._recorded(now)
        return self._take()

    def timer(self) -> float | None:
        """When handle_timer() is to be called next; None when the guide is done."""
        if self._due is None:
            return None
        return min(self._due, self._limit) if self._is_limited else self._due

    def handle_timer(self, now: float) -> list[m.Output]:
        """Do what is due."""
        self._catch_up(now)
        return self._take()

    # --- time --------------------------------------------------------------------------------------------------------

    @property
    def _is_limited(self) -> bool:
        return TABLE[self.state].limited or self.state in _WAITING

    def _catch_up(self, now: float) -> None:
        """Before any input comes what was due before it; at most one thing a state, so this ends."""
        due = self.timer()
        while due is not None and due <= now:
            if self._is_limited and self._limit <= due:
                self._limit_reached(now)
            else:
                self._is_due(now)
            due = self.timer()

    def _limit_reached(self, now: float) -> None:
        if self.state is State.WAITING_CHAIR:
            self._say_goodbye(Trigger.WAITED, m.EndReason.CHAIR_DID_NOT_COME, now)
        elif self.state is State.WAITING_ROOM:
            self._say_goodbye(Trigger.WAITED, m.EndReason.WAITED_TOO_LONG, now)
        else:
            self._say_goodbye(Trigger.TIME_OVER, m.EndReason.TIME_OVER, now)

    def _is_due(self, now: float) -> None:
        if self._speaking:
            self._heard(now)
        elif self.state in _ASKING:
            if self._entry:
                self._entered(now)
            else:
                self._silence(now)
        elif self.state is State.LANGUAGE:
            self._silences += 1
            self._repeat_or_go_on(Trigger.SILENCE, self._silences >= SILENCES, now)
        elif self.state is State.HOLDING:
            trigger, why = self._after_hold
            self._go(trigger, now, *why)
        elif self.state is State.NAME:
            self._recorded(now)
        elif self.state in _WAITING:
            still = "waiting-chair-still" if self.state is State.WAITING_CHAIR else "waiting-room-still"
            self._go(Trigger.REMIND, now, phrase(still), only=True)
        else:
            self._say_goodbye(Trigger.OVERDUE, m.EndReason.TROUBLE, now)

    # --- keys --------------------------------------------------------------------------------------------------------

    def _key(self, key: str, now: float) -> None:
        takes = TABLE[self.state].takes
        if takes is Takes.AHEAD:
            if len(self._ahead) < MAX_AHEAD:
                self._ahead.append(key)
            if self.state is State.GREETING:
                self._greeted(now)
        elif takes is Takes.CHOICE:
            self._choice(key, now)
        elif takes is Takes.ENTRY:
            self._entry_key(key, now)
        elif takes is Takes.SKIP:
            if self._speaking and self._interruptible:
                self._hush()
                self._heard(now)
        elif takes is Takes.HASH:
            self._name_key(key, now)

    def _entry_key(self, key: str, now: float) -> None:
        if key == "#":
            self._entered(now)
        elif key == "*":
            self._star(now)
        else:
            self._hush()
            self._silences = 0
            self._entry += key
            self._due = now + self._patience.pause_seconds
            if len(self._entry) >= MAX_ENTRY:
                self._entered(now)

    def _star(self, now: float) -> None:
        """Clears an entry; on an empty one leads back to the question before, if there was one."""
        if self._entry:
            self._go(Trigger.CLEARED, now, phrase("input-cleared"), only=True)
        elif self._own_number is None and (self.state is not State.NUMBER or len(self._languages) > 1):
            self._go(Trigger.BACK, now)
        else:
            self._go(Trigger.CLEARED, now)

    def _entered(self, now: float) -> None:
        entry = self._entry
        if entry:
            self._go(Trigger.ENTERED, now)
        elif self.state is State.OPTIONAL_PIN:
            self._go(Trigger.NO_PIN, now)
        else:
            self._silence(now)
            return
        if self.state is State.FINDING:
            self._out.append(m.Lookup(entry))
        elif self._found is not None:
            self._out.append(m.CheckPin(self._found.conference, entry or None))

    def _silence(self, now: float) -> None:
        """Nothing was keyed; where no PIN is needed that is an answer."""
        if self.state is State.OPTIONAL_PIN:
            self._entered(now)
            return
        self._silences += 1
        if self._silences >= SILENCES:
            self._say_goodbye(Trigger.GIVEN_UP, m.EndReason.NO_INPUT, now)
        else:
            self._go(Trigger.SILENCE, now, phrase("no-input"))

    def _choice(self, key: str, now: float) -> None:
        place = int(key) - 1 if key.isdigit() else -1
        if 0 <= place < len(self._languages):
            self.language = self._languages[place]
            self._out.append(m.SetLanguage(self.language))
            self._address(now)
            return
        self._ahead.clear()
        if key == "*":
            self._go(Trigger.CLEARED, now)
            return
        self._wrong_keys += 1
        self._repeat_or_go_on(Trigger.WRONG_KEY, self._wrong_keys >= self._patience.attempts, now)

    def _repeat_or_go_on(self, trigger: Trigger, go_on: bool, now: float) -> None:
        """Nobody is lost for not choosing a language: the line's own is taken in the end."""
        if go_on:
            self._address(now)
            return
        self._go(trigger, now, *([phrase("try-again")] if trigger is Trigger.WRONG_KEY else []))

    def _name_key(self, key: str, now: float) -> None:
        if self.state is State.NAME_PROMPT:
            if key == "#":
                self._hush()
                self._heard(now)
        elif key == "#":
            self._recorded(now)
        elif key == "*":
            self._out.append(m.StopRecording(keep=False))
            self._go(Trigger.AGAIN, now)

    # --- what has been said, and what comes next ---------------------------------------------------------------------

    def _heard(self, now: float) -> None:
        self._speaking = False
        if self.state is State.GREETING:
            self._greeted(now)
        elif self.state is State.NAME_PROMPT:
            self._go(Trigger.HEARD, now)
            self._out.append(m.RecordName(self._patience.name_seconds))
        elif self.state in {State.ENTERING, State.GOODBYE}:
            self._finish(now)
        elif self.state in _WAITING:
            self._due = now + REMIND_SECONDS
        else:
            self._due = now + self._patience.answer_seconds

    def _finish(self, now: float) -> None:
        self._go(Trigger.HEARD, now)
        if self.state is State.OVER:
            self._out.append(m.HangUp(self._end))
        elif self._grant is not None:
            self._out.append(m.Enter(self._grant.conference, self._grant.role, self._grant.participant))

    def _greeted(self, now: float) -> None:
        if len(self._languages) > 1:
            self._go(Trigger.SEVERAL_LANGUAGES, now)
        else:
            self._address(now)

    def _address(self, now: float) -> None:
        """The language is known: which conference is it?"""
        if self._own_number is None:
            self._go(Trigger.DIAL_IN, now)
        else:
            self._go(Trigger.OWN_NUMBER, now)
            self._out.append(m.Lookup(self._own_number))

    # --- answers -----------------------------------------------------------------------------------------------------

    def _wrong_number(self, delay: float, why: str, now: float) -> None:
        self._wrong_numbers += 1
        if self._own_number is not None:
            self._say_goodbye(Trigger.REFUSED, m.EndReason.WRONG_NUMBER, now)
            return
        self._missed(Trigger.TRY_NUMBER, self._wrong_numbers, m.EndReason.WRONG_NUMBER, delay, why, now)

    def _wrong_pin(self, delay: float, now: float) -> None:
        self._wrong_pins += 1
        needed = self._found is not None and self._found.pin is m.PinNeed.REQUIRED
        again = Trigger.TRY_PIN if needed else Trigger.TRY_OPTIONAL_PIN
        self._missed(again, self._wrong_pins, m.EndReason.WRONG_PIN, delay, "pin-wrong", now)

    def _missed(self, again: Trigger, count: int, end: m.EndReason, delay: float, why: str, now: float) -> None:
        """What was typed ahead of a mistake belongs to the mistake."""
        self._ahead.clear()
        left = self._patience.attempts - count
        if left <= 0:
            self._end = end
            self._after_hold = Trigger.GIVEN_UP, (phrase(why), phrase("too-many-attempts"))
        else:
            self._after_hold = again, (phrase(why), phrase("attempts-left", count=left))
        self._go(Trigger.MISSED, now)
        self._due = now + delay
        self._catch_up(now)

    def _refused(self, answer: m.Refused, now: float) -> None:
        if self.state in FINAL or self.state is State.GOODBYE:
            return
        if answer.refusal is m.Refusal.ENDED and self.state is State.FINDING and self._own_number is None:
            self._wrong_number(0.0, "ended", now)
            return
        words: list[Phrase] = []
        if answer.refusal is m.Refusal.NOT_STARTED and answer.starts is not None:
            words = [phrase("not-started"), starting(answer.starts, now), phrase("call-then")]
        elif answer.refusal is m.Refusal.BLOCKED:
            words = [phrase("blocked-for", left=max(60.0, answer.left))]
        self._say_goodbye(Trigger.REFUSED, m.EndReason(answer.refusal), now, *words)

    def _granted(self, grant: m.Granted, now: float) -> None:
        if self.state in {State.NAME_PROMPT, State.NAME}:
            self._grant = grant
        elif self.state in {State.FINDING, State.CHECKING}:
            self._grant = grant
            if grant.record_name:
                self._go(Trigger.RECORD_NAME, now)
            else:
                self._proceed(grant, now)
        elif self.state in _WAITING:
            self._grant = grant
            self._proceed(grant, now)

    def _recorded(self, now: float) -> None:
        self._out.append(m.StopRecording(keep=True))
        if self._grant is not None:
            self._proceed(self._grant, now)

    def _proceed(self, grant: m.Granted, now: float) -> None:
        """Into the conference, or to where one waits for that."""
        before = {State.WAITING_CHAIR: [phrase("chair-arrived")], State.WAITING_ROOM: [phrase("admitted")]}
        waits = {m.Wait.CHAIR: State.WAITING_CHAIR, m.Wait.ROOM: State.WAITING_ROOM}
        if grant.wait is m.Wait.NO:
            self._go(Trigger.GRANTED, now, *before.get(self.state, []), *entrance(grant, self._keymap))
            return
        if self.state is waits[grant.wait]:
            return
        if self.state not in _WAITING:
            self._limit = now + self._patience.wait_seconds
        if grant.wait is m.Wait.CHAIR:
            self._go(Trigger.WAIT_CHAIR, now)
            self._out.append(m.WaitForChair(grant.conference))
        else:
            self._go(Trigger.WAIT_ROOM, now)
            self._out.append(m.WaitInRoom(grant.conference))

    def _say_goodbye(self, trigger: Trigger, reason: m.EndReason, now: float, *why: Phrase) -> None:
        """``why`` in place of the words that the reason always has."""
        if self.state is State.NAME:
            self._out.append(m.StopRecording(keep=False))
        self._end = reason
        self._go(trigger, now, *(why or [phrase(key) for key in PARTING[reason]]))

    # --- from state to state -----------------------------------------------------------------------------------------

    def _go(self, trigger: Trigger, now: float, *why: Phrase, only: bool = False) -> None:
        """Where the table leads; ``why`` is said before the new state's own prompts, or is all that is said."""
        self._enter(TABLE[self.state].exits[trigger], now, *why, only=only)

    def _enter(self, state: State, now: float, *why: Phrase, only: bool = False) -> None:
        if state is not self.state:
            self._silences = 0
        self.state = state
        self._entry = ""
        row = TABLE[state]
        if self._ahead and row.takes in {Takes.ENTRY, Takes.CHOICE}:
            self._hush()
            self._due = now + self._patience.answer_seconds
            self._feed(state, now)
            return
        phrases = why if only else (*why, *(p for key in row.says for p in self._phrases(key)))
        if phrases:
            recorded = state is State.ENTERING and self._grant is not None and self._grant.recorded
            self._interruptible = not recorded and row.takes is not Takes.NOTHING
            self._speaking = True
            self._due = now + MAX_SPEECH
            self._out.append(m.Say(phrases, self._interruptible))
        else:
            self._hush()
            self._due = self._silent_deadline(now)

    def _silent_deadline(self, now: float) -> float | None:
        if self.state in FINAL:
            return None
        return now + (self._patience.name_seconds if self.state is State.NAME else ANSWER_SECONDS)

    def _feed(self, state: State, now: float) -> None:
        """Keys typed ahead, as far as this state takes them."""
        while self._ahead and self.state is state:
            self._key(self._ahead.popleft(), now)

    def _phrases(self, key: str) -> list[Phrase]:
        if key == "language-offer":
            return language_offers(self._languages)
        return [phrase(key)]

    def _hush(self) -> None:
        if self._speaking:
            self._speaking = False
            self._out.append(m.Hush())

    def _take(self) -> list[m.Output]:
        taken, self._out = self._out, []
        return taken
