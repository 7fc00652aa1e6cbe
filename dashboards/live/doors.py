"""Who looks? Log-in by API key: the browser gets a random cookie, the key stays in this process."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from bokeh.server.auth_provider import AuthProvider
from tornado.web import RequestHandler

from dashboards.live.guesses import Guesses, visitor
from dashboards.live.headers import NONCE
from dashboards.live.markup import document
from dashboards.live.settings import DashboardSettings
from ml_guard import AsyncMLGuardClient
from ml_guard.errors import ForbiddenError, MLGuardError, TransportError, UnauthorizedError
from ml_guard.shapes import Key

COOKIE = "ml_guard_dashboard"
VISITOR = "X-Visitor"
"""A header that only this process sets: who of `Visitors` a page is for. A page never holds the cookie itself."""
MOST_VISITORS = 10_000
LONGEST_KEY = 512


@dataclass
class Visitor:
    """Somebody who has logged in."""

    secret: str
    key: Key
    seen_at: float

    @property
    def may_operate(self) -> bool:
        return not {"operate", "admin"}.isdisjoint(self.key.scopes)


class Visitors:
    """Who is logged in, by the digest of the cookie."""

    def __init__(self, lasts_s: float) -> None:
        self._lasts_s = lasts_s
        self._known: dict[str, Visitor] = {}

    def enter(self, secret: str, key: Key) -> str:
        """A new cookie for this key."""
        now = time.monotonic()
        self._known = {name: one for name, one in self._known.items() if now - one.seen_at < self._lasts_s}
        while len(self._known) >= MOST_VISITORS:
            del self._known[next(iter(self._known))]
        cookie = secrets.token_urlsafe(32)
        self._known[digest(cookie)] = Visitor(secret, key, now)
        return cookie

    def find(self, name: str | None) -> Visitor | None:
        """The visitor of a digest, while the log-in lasts."""
        visitor = self._known.get(name or "")
        if visitor is None or time.monotonic() - visitor.seen_at >= self._lasts_s:
            return None
        visitor.seen_at = time.monotonic()
        return visitor

    def leave(self, name: str) -> None:
        self._known.pop(name, None)


def digest(cookie: str) -> str:
    """What a cookie is known by inside."""
    return hashlib.sha256(cookie.encode()).hexdigest()


class Doors(AuthProvider):  # type: ignore[misc]
    """Lets pages and websockets through that carry a visitor's cookie; everybody else goes to the log-in page."""

    def __init__(self, visitors: Visitors, settings: DashboardSettings) -> None:
        self._visitors = visitors
        self._settings = settings
        super().__init__()

    @property
    def get_user(self) -> Callable[[RequestHandler], str | None]:
        return self._user

    @property
    def get_user_async(self) -> None:
        return None

    @property
    def get_login_url(self) -> Callable[[RequestHandler], str]:
        return self._login_url

    @property
    def login_url(self) -> None:
        return None

    @property
    def login_handler(self) -> None:
        return None

    @property
    def logout_url(self) -> None:
        return None

    @property
    def logout_handler(self) -> None:
        return None

    def _user(self, handler: RequestHandler) -> str | None:
        handler.request.headers.pop(VISITOR, None)
        name = digest(handler.get_cookie(COOKIE) or "")
        if self._visitors.find(name) is None:
            return None
        handler.request.headers[VISITOR] = name
        return name

    def _login_url(self, handler: RequestHandler) -> str:
        return "/login"  # Panel puts a dot before it: beside the page, whatever the prefix


class Quiet(RequestHandler):
    """What all plain pages share: nobody may cache them."""

    def initialize(self, visitors: Visitors, guesses: Guesses, settings: DashboardSettings) -> None:
        self.visitors = visitors
        self.guesses = guesses
        self.rules = settings

    def set_default_headers(self) -> None:
        self.set_header("Cache-Control", "no-store")

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return None


class LoginPage(Quiet):
    """The form, and what is wrong with a key."""

    def get(self) -> None:
        self._show("", self._wanted(self.get_query_argument("next", "")))

    async def post(self) -> None:
        secret = self.get_body_argument("key", "").strip()
        wanted = self._wanted(self.get_body_argument("next", ""))
        forwarded = self.request.headers.get_list("X-Forwarded-For")
        address = visitor(self.request.remote_ip or "", forwarded, self.rules.dashboard_proxies)
        if wait_s := self.guesses.begin(address):
            self.set_status(429)
            self.set_header("Retry-After", str(wait_s))
            self._show("Too many keys were tried from your address. Wait a moment, then try again.", wanted)
            return
        problem, key, is_wrong = await _examine(secret, self.rules.url)
        if not is_wrong:
            self.guesses.was_none(address)
        if key is None:
            self.set_status(401)
            self._show(problem, wanted)
            return
        self.set_cookie(
            COOKIE,
            self.visitors.enter(secret, key),
            path=f"{self.rules.prefix}/",
            httponly=True,
            samesite="Lax",
            secure=self.rules.is_secure,
        )
        self.redirect(f"{self.rules.prefix}/{wanted}", status=303)

    def _show(self, problem: str, wanted: str) -> None:
        nonce = self.request.headers[NONCE]
        self.write(document("login.html", problem=problem, wanted=wanted, hint=self.rules.hint, nonce=nonce))

    @staticmethod
    def _wanted(text: str) -> str:
        """The query string to come back to; of the path nothing is taken over, so a link cannot lead elsewhere."""
        query = text.partition("?")[2]
        return f"?{urlencode(parse_qsl(query))}" if query else ""


class LogoutPage(Quiet):
    """Forgets the visitor."""

    def get(self) -> None:
        self.visitors.leave(digest(self.get_cookie(COOKIE) or ""))
        self.clear_cookie(COOKIE, path=f"{self.rules.prefix}/")
        self.redirect(f"{self.rules.prefix}/login")


class HealthPage(Quiet):
    """Liveness."""

    def get(self) -> None:
        self.write({"status": "ok"})


def plain_pages(visitors: Visitors, settings: DashboardSettings) -> list[tuple[str, Any, dict[str, Any]]]:
    """The addresses that need no log-in."""
    shared = {"visitors": visitors, "guesses": Guesses(), "settings": settings}
    pages = {"login": LoginPage, "logout": LogoutPage, "health": HealthPage}
    return [(f"/{name}", handler, shared) for name, handler in pages.items()]


async def _examine(secret: str, url: str) -> tuple[str, Key | None, bool]:
    """What is wrong with a key, or the key as the API knows it; and whether it is one that the API does not know."""
    if not secret:
        return "Enter an API key.", None, False
    if len(secret) > LONGEST_KEY or not secret.isascii() or not secret.isprintable():
        return "This is not an API key: keys are short and have letters, digits, - and _ only.", None, False
    client = AsyncMLGuardClient(base_url=url, api_key=secret)
    try:
        key = await client.keys.current()
    except (UnauthorizedError, ForbiddenError):
        return (
            "The API does not know this key, or it was revoked. Ask whoever runs ML Guard for another.",
            None,
            True,
        )
    except TransportError:
        return (
            "The API does not answer, so the key cannot be checked. Is ML Guard running? Try again.",
            None,
            False,
        )
    except MLGuardError as error:
        return str(error), None, False
    finally:
        await client.close()
    if {"read", "operate", "admin"}.isdisjoint(key.scopes):
        return (
            f"The key “{key.name}” may send events only. The dashboard needs one with the scope read.",
            None,
            False,
        )
    return "", key, False
