"""A caller in virtual time: keys, hears, waits; and a directory that answers the guide's questions."""

from __future__ import annotations

from dataclasses import dataclass, field

from control.guide import messages as m
from control.guide.guide import Guide, Patience
from control.guide.table import FINAL, State
from control.participant import Role
from tests.guide.spoken import say

LANGUAGES = ("ru", "be", "en")
GUEST = m.Granted("c1", Role.GUEST)
CHAIR = m.Granted("c1", Role.CHAIR)


@dataclass
class Directory:
    """Conference 123456 with PINs 1111 (chair) and 2222 (guest); personal PIN 77777777."""

    need: m.PinNeed = m.PinNeed.REQUIRED
    guest: m.Granted | m.Refused = GUEST
    numbers: dict[str, m.Answer] = field(default_factory=dict)

    def lookup(self, digits: str) -> m.Answer:
        known: dict[str, m.Answer] = {
            "123456": m.Found("c1", self.need),
            "77777777": m.Granted("c1", Role.GUEST, participant="p7"),
            **self.numbers,
        }
        return known.get(digits, m.NotFound(delay=1.0))

    def check(self, pin: str | None) -> m.Answer:
        if pin == "1111":
            return CHAIR
        if pin == "2222" or (pin is None and self.need is m.PinNeed.OPTIONAL):
            return self.guest
        return m.WrongPin(delay=1.0)


class Caller:
    """Drives one guide. ``slow_answers``: questions wait until ``answer`` is called."""

    def __init__(
        self,
        *,
        languages: tuple[str, ...] = ("ru",),
        conference: str | None = None,
        directory: Directory | None = None,
        patience: Patience | None = None,
        slow_answers: bool = False,
        now: float = 1_000_000.0,
    ) -> None:
        self.guide = Guide(languages, "ru", conference=conference, patience=patience)
        self.directory = directory or Directory()
        self.now = now
        self.slow_answers = slow_answers
        self.all: list[m.Output] = []
        self.asked: list[m.Lookup | m.CheckPin] = []
        self.speaking = False
        self._take(self.guide.start(self.now))

    def _take(self, outputs: list[m.Output]) -> None:
        for output in outputs:
            self.all.append(output)
            if isinstance(output, m.Say):
                say(output.phrases)
                self.speaking = True
            elif isinstance(output, m.Hush):
                self.speaking = False
            elif isinstance(output, m.Lookup | m.CheckPin):
                self.asked.append(output)
        if not self.slow_answers:
            self.answer()

    def answer(self) -> None:
        """Answer what has been asked."""
        while self.asked:
            question = self.asked.pop(0)
            lookup = isinstance(question, m.Lookup)
            answer = self.directory.lookup(question.digits) if lookup else self.directory.check(question.pin)  # type: ignore[union-attr]
            self.tell(answer)

    def tell(self, answer: m.Answer) -> None:
        self._take(self.guide.answer(answer, self.now))

    def keys(self, text: str, *, apart: float = 0.3) -> Caller:
        for key in text:
            self.now += apart
            self._take(self.guide.digit(key, self.now))
        return self

    def hear(self) -> Caller:
        """Listen to the end of what is being said."""
        if self.speaking:
            self.now += 2.0
            self.speaking = False
            self._take(self.guide.prompt_finished(self.now))
        return self

    def wait(self) -> Caller:
        """Until the guide's own deadline."""
        due = self.guide.timer()
        assert due is not None
        self.now = max(self.now, due)
        self._take(self.guide.handle_timer(self.now))
        return self

    def recorded(self) -> Caller:
        self._take(self.guide.recording_finished(self.now))
        return self

    def slow_keys(self, text: str) -> Caller:
        """Each key only after all that is said, and what is due after it, has been waited for."""
        for key in text:
            self.settle()
            self.keys(key)
        return self

    def settle(self) -> Caller:
        while self.guide.state is State.HOLDING or self.speaking:
            if self.speaking:
                self.hear()
            else:
                self.wait()
        return self

    def to_the_end(self) -> Caller:
        """Nothing more is keyed."""
        for _ in range(200):
            if self.state in FINAL:
                return self
            if self.speaking:
                self.hear()
            else:
                self.wait()
        raise AssertionError(f"stays in {self.state}")

    @property
    def state(self) -> State:
        return self.guide.state

    def said(self) -> list[str]:
        """Prompt keys of the last Say."""
        says = [o for o in self.all if isinstance(o, m.Say)]
        return [p.key for p in says[-1].phrases] if says else []

    def outcome(self) -> m.Output:
        return self.all[-1]
