"""Every prompt that the guide, the keypad and a conference's own notices say, with the placeholders of its text.

The texts are in ``config/prompts/<language>.toml``; a test holds both together.
"""

from __future__ import annotations

from collections.abc import Mapping

from control.guide.phrase import Kind

_NONE: Mapping[str, Kind] = {}

GUIDE: Mapping[str, Mapping[str, Kind]] = {
    "welcome": _NONE,
    # Said in the language itself: "For English press 3."
    "choose_language": {"key": Kind.DIGITS},
    "language_chosen": _NONE,
    "enter_number": _NONE,
    "enter_pin": _NONE,
    # No PIN is asked of guests: "If you are the chair, enter your PIN and hash, otherwise press hash."
    "enter_pin_or_hash": _NONE,
    "entry_cleared": _NONE,
    "nothing_entered": _NONE,
    "wrong_key": _NONE,
    "wrong_number": _NONE,
    "wrong_pin": _NONE,
    "too_many_attempts": _NONE,
    "blocked": {"minutes": Kind.COUNT},
    "not_started": {"time": Kind.TIME},
    "locked": _NONE,
    "full": _NONE,
    "ended": _NONE,
    "trouble": _NONE,
    "time_over": _NONE,
    "say_name": _NONE,
    "name_thanks": _NONE,
    "waiting_for_chair": _NONE,
    "chair_did_not_come": _NONE,
    "waiting_room": _NONE,
    "waiting_room_over": _NONE,
    "admitted": _NONE,
    "not_admitted": _NONE,
    "being_recorded": _NONE,
    "only_one": _NONE,
    # Including the one who hears it.
    "participants": {"count": Kind.COUNT},
    "muted_on_entry": _NONE,
    "still_muted_by_chair": _NONE,
    "mode_questions": _NONE,
    "mode_lecture": _NONE,
    "goodbye": _NONE,
}
"""Said by control.guide."""

KEYPAD: Mapping[str, Mapping[str, Kind]] = {
    "muted": _NONE,
    "unmuted": _NONE,
    "muted_by_chair": _NONE,
    "muted_by_mode": _NONE,
    "all_are_muted": _NONE,
    "listen_only": _NONE,
    "hand_raised": {"position": Kind.COUNT},
    "hand_lowered": _NONE,
    "volume": {"step": Kind.COUNT},
    "volume_least": _NONE,
    "volume_most": _NONE,
    "conference_locked": _NONE,
    "conference_unlocked": _NONE,
    "all_muted": _NONE,
    "all_unmuted": _NONE,
    "recording_started": _NONE,
    "recording_stopped": _NONE,
    "extended": {"minutes": Kind.COUNT},
    "confirm_end": _NONE,
    "cancelled": _NONE,
    "enter_invite_number": _NONE,
    "inviting": {"number": Kind.DIGITS},
    "nobody_waits": _NONE,
    "admitted_one": _NONE,
    "admitted_all": {"count": Kind.COUNT},
    "refused_one": _NONE,
    "no_hands": _NONE,
    "floor_given": _NONE,
    "floor_taken": _NONE,
    "no_floor": _NONE,
    "mode_conversation": _NONE,
    "unknown_key": _NONE,
    "not_possible": _NONE,
    # The keypad help: one sentence a command, e.g. "To mute yourself press star six."
    "help_mute": {"keys": Kind.DIGITS},
    "help_hand": {"keys": Kind.DIGITS},
    "help_count": {"keys": Kind.DIGITS},
    "help_quieter": {"keys": Kind.DIGITS},
    "help_louder": {"keys": Kind.DIGITS},
    "help_help": {"keys": Kind.DIGITS},
    "help_lock": {"keys": Kind.DIGITS},
    "help_mute_all": {"keys": Kind.DIGITS},
    "help_record": {"keys": Kind.DIGITS},
    "help_extend": {"keys": Kind.DIGITS},
    "help_end": {"keys": Kind.DIGITS},
    "help_invite": {"keys": Kind.DIGITS},
    "help_roll_call": {"keys": Kind.DIGITS},
    "help_admit": {"keys": Kind.DIGITS},
    "help_admit_all": {"keys": Kind.DIGITS},
    "help_refuse": {"keys": Kind.DIGITS},
    "help_mode": {"keys": Kind.DIGITS},
    "help_floor": {"keys": Kind.DIGITS},
    "help_take_floor": {"keys": Kind.DIGITS},
}
"""Said by control.keypad, besides some of the above."""

NOTICES: Mapping[str, Mapping[str, Kind]] = {
    "ending_soon": {"minutes": Kind.COUNT},
    # To the chair, after ending_soon.
    "press_to_extend": {"keys": Kind.DIGITS},
    "conference_ended": _NONE,
    "kicked": _NONE,
    "unmuted_by_chair": _NONE,
    "you_have_the_floor": _NONE,
    "your_floor_is_over": _NONE,
    "joined": {"name": Kind.NAME},
    "left": {"name": Kind.NAME},
    "somebody_joined": _NONE,
    "somebody_left": _NONE,
    # To the chair, after the knock tone.
    "somebody_waits": {"count": Kind.COUNT},
    "wants_to_speak": {"name": Kind.NAME},
    "roll_call": {"count": Kind.COUNT},
    "unnamed": {"count": Kind.COUNT},
    "recording_failed": _NONE,
    "invitation_failed": {"number": Kind.DIGITS},
    "you_are_chair": _NONE,
    "you_are_guest": _NONE,
}
"""Said to legs in a conference when something happens there, by whoever carries its events out."""

PROMPTS: Mapping[str, Mapping[str, Kind]] = {**GUIDE, **KEYPAD, **NOTICES}
