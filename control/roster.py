"""The list of a conference's participants: by id, and by the number that those who are not in are recognised by."""

from __future__ import annotations

from collections.abc import Iterator

from control.participant import Participant

MAX_GONE = 1000
"""So many people who called in by themselves and left stay in the list; then the longest gone is forgotten."""


class Roster:
    """Participants in the order they were added. No operation looks at all of them."""

    def __init__(self) -> None:
        self._rows: dict[str, Participant] = {}
        self._away: dict[str, dict[str, Participant]] = {}
        self._gone: dict[str, Participant] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Participant]:
        """Those who have a row outside (``seen``)."""
        return (p for p in self._rows.values() if p.seen)

    def get(self, participant_id: str) -> Participant | None:
        return self._rows.get(participant_id)

    def add(self, participant: Participant) -> None:
        """A new row; who has been seen is away until ``here`` is told."""
        self._rows[participant.id] = participant
        if participant.seen:
            self.away(participant)

    def remove(self, participant: Participant) -> None:
        self.here(participant)
        self._rows.pop(participant.id, None)

    def here(self, participant: Participant) -> None:
        """He is in (or coming in): who calls from the same number now is another person."""
        self._gone.pop(participant.id, None)
        rows = self._away.get(participant.number)
        if rows is not None:
            rows.pop(participant.id, None)
            if not rows:
                del self._away[participant.number]

    def away(self, participant: Participant) -> None:
        """He is not in: who calls from his number is him. Forgets the longest gone stranger when there are many."""
        if participant.number:
            self._away.setdefault(participant.number, {})[participant.id] = participant
        if participant.planned or participant.muted or participant.deaf:
            return
        self._gone[participant.id] = participant
        if len(self._gone) > MAX_GONE:
            self._forget(next(iter(self._gone.values())))

    def recognise(self, number: str) -> Participant | None:
        """Who is not in and has this number."""
        rows = self._away.get(number)
        return next(iter(rows.values())) if rows else None

    def awaits(self, number: str) -> bool:
        """True when somebody who is planned and not in has this number."""
        return any(p.planned for p in self._away.get(number, {}).values())

    def _forget(self, participant: Participant) -> None:
        if participant.planned or participant.muted or participant.deaf:
            del self._gone[participant.id]
        else:
            self.remove(participant)
