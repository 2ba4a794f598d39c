"""Paging of lists that their command gives whole: every list of the API has limit, cursor, total and next_cursor."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from control.commands import Command
from control.http.problems import invalid_parameter


class Window(BaseModel):
    """Which part of a list to give."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(100, ge=1, le=500, description="Page size")
    cursor: str | None = Field(None, max_length=200, description="``next_cursor`` of the page before")


def is_whole_list(command: Command) -> bool:
    """True for a GET whose command gives all items and knows no pages."""
    fields = command.output.model_fields if command.output is not None else {}
    return command.http.method == "GET" and "items" in fields and "next_cursor" not in fields


def cut(data: dict[str, Any], window: Window) -> dict[str, Any]:
    """The page of ``data`` that the window asks for. The cursor is the last item's id, which keeps its place."""
    items: list[dict[str, Any]] = data["items"]
    start = 0
    if window.cursor is not None:
        places = [index for index, item in enumerate(items) if _identity(item) == window.cursor]
        if not places:
            raise invalid_parameter("cursor", "is not one of this list (any more); start again without one")
        start = places[0] + 1
    page = items[start : start + window.limit]
    more = start + window.limit < len(items)
    return {**data, "items": page, "next_cursor": _identity(page[-1]) if more else None, "total": len(items)}


def _identity(item: dict[str, Any]) -> str:
    return str(item.get("id") or item["number"])
