"""What a token may see: phone numbers are masked for those without the right (mission N6), PINs hidden.

Outputs are masked by field: every field of an output model that holds a telephone number is named here (a test goes
through all models and asks for each field whose name looks like one).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel

from control import schemas as s
from control.store.records import EventRecord
from control.tokens import Scope

HIDDEN = "****"
PHONES: Mapping[type[BaseModel], tuple[str, ...]] = {
    s.ParticipantView: ("number", "name", "email"),
    s.NetworkParticipant: ("number", "name"),
    s.LegView: ("from_number", "to_number"),
    s.AccountView: ("number", "name"),
    s.AccountCreated: ("number", "name"),
}
PINS = frozenset({"chair_pin", "guest_pin"})
EVENT_FIELDS = frozenset({"number", "name", "from_number", "to_number"})
_OWN_NUMBER = frozenset({"conference.created"})
"""Events whose number is the conference's own, which is no secret."""
_LONG_DIGITS = re.compile(r"\+?\d(?:[\s().-]*\d){4,}")


def mask(text: str) -> str:
    """A number or SIP URI with all but its last two digits starred; a name only loses the numbers inside it."""
    scheme, colon, rest = text.partition(":")
    if colon and scheme.lower() in {"sip", "sips", "tel"}:
        user = rest.partition("@")[0]
        return f"{scheme}:{mask(user) if re.search(r'[0-9]', user) else HIDDEN}"
    if re.fullmatch(r"\+?[\d*#\s().-]+", text):
        return re.sub(r"\d(?=(?:\D*\d){2})", "*", text)
    return _LONG_DIGITS.sub(lambda found: re.sub(r"\d(?=(?:\D*\d){2})", "*", found[0]), text)


def mask_email(text: str) -> str:
    user, _, domain = text.partition("@")
    return f"{user[:1]}***@{domain}" if domain else text


def view(output: BaseModel, scopes: Collection[str]) -> dict[str, Any]:
    """The output as JSON, as a token with these scopes may see it."""
    data = output.model_dump(mode="json")
    if Scope.OPERATOR not in scopes:
        _cover(output, data, numbers=Scope.NUMBERS in scopes)
    return data


def _cover(model: Any, data: Any, *, numbers: bool) -> None:
    if isinstance(model, list | tuple):
        for one, dumped in zip(model, data, strict=True):
            _cover(one, dumped, numbers=numbers)
    elif isinstance(model, BaseModel):
        for name in type(model).model_fields:
            value = data[name]
            if name in PINS and value is not None:
                data[name] = HIDDEN
            elif isinstance(value, str) and not numbers and name in PHONES.get(type(model), ()):
                data[name] = mask_email(value) if "@" in value and ":" not in value else mask(value)
            else:
                _cover(getattr(model, name), value, numbers=numbers)


def event_view(record: EventRecord, *, numbers: bool) -> dict[str, Any]:
    """An event as the API shows it."""
    data = record.data
    if not numbers and record.kind not in _OWN_NUMBER:
        data = {
            key: mask(value) if key in EVENT_FIELDS and isinstance(value, str) else value for key, value in data.items()
        }
    return {
        "seq": record.seq,
        "time": record.time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "kind": record.kind,
        "conference": record.conference,
        "data": data,
    }
