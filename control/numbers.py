"""Telephone numbers as people write them, and conference numbers and PINs made up by us."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable

_SPELLING = str.maketrans("", "", " \t-()./\u00a0\u2011\u2013")
_MAX_DIGITS = 32
_TRIES = 10_000

Draw = Callable[[int], int]
"""A uniform random number below its argument; ``secrets.randbelow`` unless a test wants to know what comes."""


def normalise(number: str) -> str:
    """``number`` without its spelling: "+375 29 123-45-67" and "tel:+375-29-1234567" become "375291234567".

    SIP URIs ("sip:alice@example.com") stay as they are. Raises ValueError, with words for the person who typed it.
    """
    text = number.strip()
    scheme, colon, rest = text.partition(":")
    if colon and scheme.lower() == "sip":
        host = rest.rpartition("@")[2]
        if not host or any(c.isspace() for c in rest) or not rest.isascii():
            raise ValueError("is not a SIP URI like sip:name@host")
        return text
    if colon and scheme.lower() == "tel":
        text = rest.partition(";")[0]
    elif colon:
        raise ValueError(f"is a {scheme}: address; give a telephone number or a sip: address")
    digits = text.translate(_SPELLING)
    digits = digits.removeprefix("+")
    if not digits:
        raise ValueError("holds no digits")
    if not digits.isascii() or not all(c.isdigit() or c in "*#" for c in digits):
        raise ValueError("may hold digits, spaces, hyphens, brackets and a leading + only")
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"is longer than {_MAX_DIGITS} digits")
    return digits


def caller_number(user: str) -> str:
    """The From user of a caller as his number; what is no telephone number stays as it is, anonymous becomes ""."""
    if user.lower() in {"", "anonymous", "unknown", "unavailable"}:
        return ""
    try:
        return normalise(user)
    except ValueError:
        return user[:255]


def make_number(digits: int, taken: Callable[[str], bool], draw: Draw = secrets.randbelow) -> str:
    """A free conference number that neither starts with 0 nor is easy to hit by chance.

    Raises RuntimeError when next to all numbers of this length are taken.
    """
    for _ in range(_TRIES):
        number = str(10 ** (digits - 1) + draw(9 * 10 ** (digits - 1)))
        if not is_easy(number) and not taken(number):
            return number
    raise RuntimeError(f"no free conference number of {digits} digits; raise conference.number_digits")


def make_pin(digits: int, other: str | None = None, draw: Draw = secrets.randbelow) -> str:
    """A PIN that is not easy to guess and differs from ``other``, the conference's other PIN."""
    while True:
        pin = f"{draw(10**digits):0{digits}d}"
        if not is_easy(pin) and pin != other:
            return pin


def is_easy(digits: str) -> bool:
    """True for what people try first: 1111, 1234, 8765, 1212, 123123, or three and more equal digits in a row."""
    steps = {(int(b) - int(a)) % 10 for a, b in itertools.pairwise(digits)}
    if len(steps) == 1 and steps <= {0, 1, 9}:
        return True
    if any(digits[i] == digits[i + 1] == digits[i + 2] for i in range(len(digits) - 2)):
        return True
    return any(
        len(digits) % period == 0 and digits == digits[:period] * (len(digits) // period)
        for period in range(1, len(digits) // 2 + 1)
    )
