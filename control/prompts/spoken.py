"""Text made ready to be spoken: digits, times and signs become words, what has no sound is dropped."""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from control.prompts.catalogue import Catalogue
from control.prompts.grammar import Word, digit_groups

LONGEST: Final = 2000
"""Characters; the rest of a text is not spoken."""
STRESS: Final = "\N{COMBINING ACUTE ACCENT}"

_TIME: Final = re.compile(r"(?<![\d:.])([01]?\d|2[0-3]):([0-5]\d)(?![\d:])")
_NUMBER: Final = re.compile(r"\d+")
_ADDRESS: Final = re.compile(r"https?://\S+")
_LONG: Final = 6
"""Numbers with more digits, or with a nought in front, are read out digit by digit."""
_VOWELS: Final = "аеёиоуыэюяіАЕЁИОУЫЭЮЯІ"
_WORD: Final = re.compile(rf"[^\W\d_](?:[^\W\d_]|{STRESS}|['’](?=[^\W\d_]))*")


def join(words: Iterable[Word]) -> str:
    return " ".join(word.text for word in words)


def speakable(text: str, catalogue: Catalogue) -> str:
    """Any text as words and punctuation, on one line. May be empty: then there is nothing to say."""
    grammar = catalogue.grammar
    text = _ADDRESS.sub(" ", unicodedata.normalize("NFC", text[:LONGEST]))
    text = _TIME.sub(lambda m: join(grammar.time(datetime.time(int(m[1]), int(m[2])))), text)
    text = _NUMBER.sub(lambda m: f" {_number(m[0], catalogue)} ", text)
    signs = {sign: f" {word} " for sign, word in grammar.symbols.items() if len(sign) == 1 and sign != "-"}
    text = "".join(signs.get(sign, sign if _sounds(sign) else " ") for sign in text)
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r" (?=[,.;:!?])", "", text)
    return for_ear(text, catalogue) if any(sign.isalpha() for sign in text) else ""


def _number(digits: str, catalogue: Catalogue) -> str:
    if len(digits) > _LONG or (len(digits) > 1 and digits[0] == "0"):
        return ", ".join(join(catalogue.grammar.digits(group)) for group in digit_groups(digits))
    return join(catalogue.grammar.cardinal(int(digits)))


def _sounds(sign: str) -> bool:
    """Letters, marks and the punctuation that makes pauses."""
    return unicodedata.category(sign)[0] in "LMZ" or sign in ",.;:!?-–—()'’"


def for_ear(text: str, catalogue: Catalogue) -> str:
    """What the neighbourhood of words does to them in this language (два удзельнікі, два ўдзельнікі)."""
    for pattern, replacement in catalogue.sandhi:
        text = pattern.sub(replacement, text)
    return text


def for_eye(text: str) -> str:
    """Without the marks of stress that only the synthesiser needs."""
    return text.replace(STRESS, "")


def for_synthesiser(text: str, catalogue: Catalogue) -> str:
    """Words respelt and stressed as the catalogue asks."""
    return _WORD.sub(lambda match: _pronounced(match[0], catalogue), text)


def _pronounced(word: str, catalogue: Catalogue) -> str:
    respelt = catalogue.respell.get(word.lower())
    if respelt is not None:
        return respelt
    places = [index for index, letter in enumerate(word.lower()) if letter in catalogue.stressed]
    if STRESS in word or not places or sum(letter in _VOWELS for letter in word) < 2:
        return word
    return word[: places[-1] + 1] + STRESS + word[places[-1] + 1 :]
