"""Whatever a caller keys, and whenever: the guide always speaks, waits for something with a deadline, or has ended."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from control.guide import messages as m
from control.guide.guide import Guide, Patience
from control.guide.table import FINAL
from control.participant import Role
from tests.guide.caller import LANGUAGES, Caller, Directory

ANSWERS = st.one_of(
    st.builds(m.NotFound, delay=st.floats(0, 8)),
    st.builds(m.WrongPin, delay=st.floats(0, 8)),
    st.builds(m.Found, conference=st.just("c1"), pin=st.sampled_from(m.PinNeed)),
    st.builds(
        m.Granted,
        conference=st.just("c1"),
        role=st.sampled_from(Role),
        wait=st.sampled_from(m.Wait),
        record_name=st.booleans(),
        recorded=st.booleans(),
        others=st.integers(0, 3),
    ),
    st.builds(m.Refused, refusal=st.sampled_from(m.Refusal)),
)


@dataclass(frozen=True)
class Heard:
    pass


@dataclass(frozen=True)
class Due:
    pass


@dataclass(frozen=True)
class Recorded:
    pass


INPUTS = st.lists(
    st.tuples(
        st.one_of(st.sampled_from("0123456789*#A"), ANSWERS, st.just(Heard()), st.just(Due()), st.just(Recorded())),
        st.floats(0, 20),
    ),
    max_size=60,
)


def _check(guide: Guide, outputs: list[m.Output], now: float) -> None:
    ends = [o for o in outputs if isinstance(o, m.Enter | m.HangUp)]
    due = guide.timer()
    assert (due is None) == (guide.state in FINAL)
    assert due is None or due >= now
    assert len(ends) == (1 if ends else 0)
    if ends:
        assert guide.state in FINAL
        assert outputs[-1] is ends[0]


@given(INPUTS, st.booleans(), st.booleans())
@settings(max_examples=300, deadline=None)
def test_no_input_at_any_time_leaves_the_guide_without_deadline_or_outcome(
    inputs: list[tuple[object, float]], several: bool, own: bool
) -> None:
    guide = Guide(LANGUAGES if several else ("ru",), "ru", conference="123456" if own else None)
    now = 0.0
    _check(guide, guide.start(now), now)
    ended = False
    for what, later in inputs:
        now += later
        if isinstance(what, str):
            outputs = guide.digit(what, now)
        elif isinstance(what, m.Answer):
            outputs = guide.answer(what, now)
        elif isinstance(what, Heard):
            outputs = guide.prompt_finished(now)
        elif isinstance(what, Recorded):
            outputs = guide.recording_finished(now)
        else:
            now = max(now, guide.timer() or now)
            outputs = guide.handle_timer(now)
        assert not (ended and outputs)
        _check(guide, outputs, now)
        ended = guide.state in FINAL
    for _ in range(200):
        due = guide.timer()
        if due is None:
            break
        now = due
        _check(guide, guide.handle_timer(now), now)
    assert guide.state in FINAL


KEYS = st.text("0123456789*#", max_size=40)


@given(KEYS, st.sampled_from(m.PinNeed))
@settings(max_examples=200, deadline=None)
def test_keys_that_interrupt_prompts_do_the_same_as_keys_after_them(keys: str, need: m.PinNeed) -> None:
    """With nothing wrong in them: a mistake makes the guide deaf for a moment, on purpose."""
    quick = Caller(languages=LANGUAGES, directory=Directory(need)).keys(keys, apart=0.01)
    slow = Caller(
        languages=LANGUAGES, directory=Directory(need), patience=Patience(pause_seconds=1e6, answer_seconds=1e6)
    )
    slow.slow_keys(keys)
    quick.settle()
    slow.settle()
    if any(o == m.Say(o.phrases) and o.phrases[0].key in {"number-unknown", "pin-wrong"} for o in _says(slow)):
        return
    assert _essence(quick) == _essence(slow)


RIGHT = st.builds(
    lambda typo, language, number, again, pin: f"{language}{typo}{number}#{again}{pin}#",
    st.sampled_from(["", "99*", "*2*3"]),
    st.sampled_from("123"),
    st.sampled_from(["123456", "77777777"]),
    st.sampled_from(["", "5*", "*123456#"]),
    st.sampled_from(["1111", "2222"]),
)


@given(RIGHT)
@settings(max_examples=60, deadline=None)
def test_typed_ahead_of_slow_answers_equals_slow_typing(keys: str) -> None:
    ahead = Caller(languages=LANGUAGES, slow_answers=True).keys(keys, apart=0.01)
    while ahead.asked:
        ahead.answer()
    slow = Caller(languages=LANGUAGES).slow_keys(keys)
    assert ahead.to_the_end().outcome() == slow.to_the_end().outcome()
    assert ahead.guide.language == slow.guide.language


def _says(caller: Caller) -> list[m.Say]:
    return [o for o in caller.all if isinstance(o, m.Say)]


def _essence(caller: Caller) -> list[m.Output]:
    return [o for o in caller.all if not isinstance(o, m.Say | m.Hush)]
