"""What each function of the keypad does as things stand: a command with its reply, or a reply alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from control.guide.phrase import Phrase, phrase
from control.keypad.keymap import FOR_ALL, Function, Keymap
from control.keypad.messages import About, Act, Output, Reply, Standing
from control.modes import Mode, Why
from control.participant import Role

VOLUME_STEP_DB = 3.0
LOUDEST_DB = 12.0
QUIETEST_DB = -12.0

_NEXT_MODE = {
    Mode.CONVERSATION: Mode.QUESTIONS,
    Mode.QUESTIONS: Mode.LECTURE,
    Mode.LECTURE: Mode.CONVERSATION,
}
_HELP: Mapping[Function, str] = {
    Function.MUTE: "help-mute",
    Function.HAND: "help-hand",
    Function.COUNT: "help-count",
    Function.TIME: "help-time",
    Function.QUIETER: "help-quieter",
    Function.LOUDER: "help-louder",
    Function.HELP: "help-help",
    Function.LOCK: "help-lock",
    Function.MUTE_ALL: "help-mute-all",
    Function.RECORD: "help-record",
    Function.EXTEND: "help-extend",
    Function.END: "help-end",
    Function.INVITE: "help-invite",
    Function.ROLL_CALL: "help-rollcall",
    Function.ADMIT: "help-admit",
    Function.ADMIT_ALL: "help-admit-all",
    Function.REFUSE: "help-refuse",
    Function.MODE: "help-mode",
    Function.FLOOR: "help-next",
    Function.TAKE_FLOOR: "help-take-floor",
}


def perform(function: Function, standing: Standing, keymap: Keymap, *, extend_minutes: int) -> list[Output]:
    """All functions but the invitation, which needs a number first (control.keypad.keypad asks for it)."""
    if function is Function.MUTE:
        return _mute(standing, keymap)
    if function is Function.HELP:
        return [_help(standing.role, keymap)]
    if function is Function.EXTEND:
        return [
            Act(
                "conference.extend",
                values=(("minutes", extend_minutes),),
                reply=(phrase("extended", minutes=extend_minutes),),
                refused=(phrase("extend-refused"),),
            )
        ]
    return [_SIMPLE[function](standing, keymap)]


def _mute(standing: Standing, keymap: Keymap) -> list[Output]:
    """One's own mute on or off.

    The chair's wins (N2); the press then still takes one's own off, or he would stay unheard when the chair lets him
    speak. A chair takes the chair's mute off himself.
    """
    if standing.why_unheard is Why.CHAIR and standing.role is Role.CHAIR:
        lift = Act("participant.unmute", About.SELF, reply=(phrase("unmuted"),))
        return [Act("participant.self_unmute", About.SELF), lift] if standing.self_muted else [lift]
    if standing.why_unheard is not None:
        told = _unheard(standing.why_unheard, keymap)
        return [Act("participant.self_unmute", About.SELF, reply=(told,)) if standing.self_muted else Reply((told,))]
    if standing.self_muted:
        return [Act("participant.self_unmute", About.SELF, reply=(phrase("unmuted"),))]
    return [Act("participant.self_mute", About.SELF, reply=(phrase("muted"),))]


def _unheard(why: Why, keymap: Keymap) -> Phrase:
    if why in {Why.LECTURE, Why.QUESTIONS}:
        return mode_words(Mode(why.value), keymap)
    return phrase("muted-chair-only")


def mode_words(mode: Mode, keymap: Keymap) -> Phrase:
    """Who may speak now, and how to get to speak."""
    hand = keymap.keys.get(Function.HAND)
    if mode is Mode.QUESTIONS:
        return phrase("mode-questions", key=hand) if hand else phrase("muted-chair-only")
    return phrase("mode-lecture" if mode is Mode.LECTURE else "mode-conversation")


def _help(role: Role, keymap: Keymap) -> Reply:
    functions = keymap.of(role)
    said = [phrase("help-intro")]
    said += [phrase(_HELP[f], key=keys) for f, keys in functions.items() if f in FOR_ALL]
    chairs = [phrase(_HELP[f], key=keys) for f, keys in functions.items() if f not in FOR_ALL]
    return Reply((*said, phrase("help-chair"), *chairs) if chairs else tuple(said))


def _hand(standing: Standing, keymap: Keymap) -> Output:
    if standing.has_floor:
        return Act("participant.yield_floor", About.SELF)
    if standing.hand_up:
        return Act("participant.lower_hand", About.SELF, reply=(phrase("hand-down"),))
    place = phrase("hand-place", place=standing.hands + 1)
    return Act("participant.raise_hand", About.SELF, reply=(phrase("hand-up"), place))


def _count(standing: Standing, keymap: Keymap) -> Output:
    alone = standing.participants <= 1
    return Reply((phrase("alone-now") if alone else phrase("count", count=standing.participants),))


def _time(standing: Standing, keymap: Keymap) -> Output:
    return Reply((phrase("time-left", left=standing.seconds_left),))


def _quieter(standing: Standing, keymap: Keymap) -> Output:
    if standing.listen_gain_db <= QUIETEST_DB:
        return Reply((phrase("quietest"),))
    return _volume(max(QUIETEST_DB, standing.listen_gain_db - VOLUME_STEP_DB), "quieter")


def _louder(standing: Standing, keymap: Keymap) -> Output:
    if standing.listen_gain_db >= LOUDEST_DB:
        return Reply((phrase("loudest"),))
    return _volume(min(LOUDEST_DB, standing.listen_gain_db + VOLUME_STEP_DB), "louder")


def _volume(gain: float, reply: str) -> Act:
    return Act("participant.gain", About.SELF, values=(("listen_gain_db", gain),), reply=(phrase(reply),))


def _lock(standing: Standing, keymap: Keymap) -> Output:
    if standing.locked:
        return Act("conference.unlock", reply=(phrase("lock-off"),))
    return Act("conference.lock", reply=(phrase("lock-on"),))


def _mute_all(standing: Standing, keymap: Keymap) -> Output:
    if standing.all_muted:
        return Act("conference.unmute_all", reply=(phrase("mute-all-off"),))
    return Act("conference.mute_all", reply=(phrase("mute-all-on"),))


def _record(standing: Standing, keymap: Keymap) -> Output:
    """Everybody hears of it (N7), the chair among them: no reply of his own."""
    return Act("conference.record_stop" if standing.recording else "conference.record_start")


def _end(standing: Standing, keymap: Keymap) -> Output:
    return Act("conference.end")


def _roll_call(standing: Standing, keymap: Keymap) -> Output:
    return Act("conference.roll_call")


def _if_waiting(command: str, reply: str) -> Callable[[Standing, Keymap], Output]:
    def act(standing: Standing, keymap: Keymap) -> Output:
        return Act(command, reply=(phrase(reply),)) if standing.waiting else Reply((phrase("knock-none"),))

    return act


def _mode(standing: Standing, keymap: Keymap) -> Output:
    mode = _NEXT_MODE[standing.mode]
    return Act("conference.set_mode", values=(("mode", mode.value),), reply=(mode_words(mode, keymap),))


def _floor(standing: Standing, keymap: Keymap) -> Output:
    if standing.mode is Mode.LECTURE:
        return Reply((phrase("mode-lecture"),))
    if not standing.hands:
        return Reply((phrase("hands-none"),))
    return Act("conference.give_floor", reply=(phrase("floor-passed"),))


def _take_floor(standing: Standing, keymap: Keymap) -> Output:
    free = (phrase("floor-free"),)
    return Act("conference.take_floor", reply=free) if standing.floor_held else Reply(free)


_SIMPLE: Mapping[Function, Callable[[Standing, Keymap], Output]] = {
    Function.HAND: _hand,
    Function.COUNT: _count,
    Function.TIME: _time,
    Function.QUIETER: _quieter,
    Function.LOUDER: _louder,
    Function.LOCK: _lock,
    Function.MUTE_ALL: _mute_all,
    Function.RECORD: _record,
    Function.END: _end,
    Function.ROLL_CALL: _roll_call,
    Function.ADMIT: _if_waiting("conference.admit_next", "admitted-one"),
    Function.ADMIT_ALL: _if_waiting("conference.admit_all", "admitted-all"),
    Function.REFUSE: _if_waiting("conference.refuse_next", "refused-one"),
    Function.MODE: _mode,
    Function.FLOOR: _floor,
    Function.TAKE_FLOOR: _take_floor,
}
