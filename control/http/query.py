"""Query parameters, read and checked."""

from __future__ import annotations

from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from control.http.problems import fields_of, invalid, invalid_parameter

Model = TypeVar("Model", bound=BaseModel)


def read(request: web.Request) -> dict[str, str]:
    """The parameters by name. Raises a 422 problem for one given twice."""
    query: dict[str, str] = {}
    for name, text in request.query.items():
        if name in query:
            raise invalid_parameter(name, "is given more than once")
        query[name] = text
    return query


def check(model: type[Model], query: dict[str, str]) -> Model:
    """The parameters as ``model`` wants them. Raises a 422 problem naming each that is wrong."""
    try:
        return model.model_validate(query)
    except ValidationError as error:
        raise invalid(fields_of(error, query, parameters=True)) from None


def refuse_any(query: dict[str, str]) -> None:
    """Raises a 422 problem when anything is given."""
    for name in query:
        raise invalid_parameter(name, "is not a parameter known here")
