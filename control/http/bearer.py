"""Who asks: bearer tokens (RFC 6750) and what they allow."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from aiohttp import web

from control.http.problems import ProblemError
from control.store.records import TokenRecord
from control.tokens import Tokens, allowed

REALM = 'Bearer realm="veche"'
MAX_TOKEN = 256


@dataclass(frozen=True, slots=True)
class Caller:
    """A token that was recognised, and all it allows."""

    token: TokenRecord
    scopes: frozenset[str]

    def require(self, scopes: Collection[str]) -> None:
        """Raises a 403 problem unless one of ``scopes`` is among the caller's."""
        if self.scopes.isdisjoint(scopes):
            wanted = " or ".join(sorted(scopes))
            raise ProblemError(
                403,
                "forbidden",
                "Not allowed",
                f"the token {self.token.name} has the scope {', '.join(self.token.scopes)}; this needs {wanted}",
                headers={
                    "WWW-Authenticate": f'{REALM}, error="insufficient_scope", scope="{" ".join(sorted(scopes))}"'
                },
            )


def token_in(request: web.Request) -> str | None:
    """The bearer token of the Authorization field; None when there is no such field. Raises a 401 problem."""
    field = request.headers.get("Authorization")
    if field is None:
        return None
    scheme, _, token = field.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise unauthenticated("give a token as: Authorization: Bearer TOKEN")
    return token.strip()


async def recognise(tokens: Tokens, token: str | None) -> Caller:
    """The caller behind a token. Raises a 401 problem."""
    if token is None:
        raise unauthenticated("this needs a token: Authorization: Bearer TOKEN (make one: ./veche token create)")
    record = await tokens.recognise(token) if len(token) <= MAX_TOKEN else None
    if record is None:
        raise unauthenticated("the token is not valid: unknown, expired or revoked", error="invalid_token")
    return Caller(record, allowed(record.scopes))


def unauthenticated(detail: str, *, error: str = "") -> ProblemError:
    challenge = f'{REALM}, error="{error}"' if error else REALM
    headers = {"WWW-Authenticate": challenge}
    return ProblemError(401, "unauthenticated", "Authentication is required", detail, headers=headers)
