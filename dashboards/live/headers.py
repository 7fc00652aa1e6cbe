"""What may a page load and run, and who may show it in a frame? Headers of every answer, static files included."""

from __future__ import annotations

import secrets

from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.web import OutputTransform

NONCE = "X-Nonce"
"""A header that only this process sets: the word that lets the scripts of this one answer run."""


def policy(nonce: str, ancestors: str) -> str:
    """The Content-Security-Policy of a page. Text that became a script or a handler by mistake would not run.

    Scripts: those with the nonce and what they load themselves (`strict-dynamic`; browsers of before 2022 take `self`
    instead). Bokeh and Panel compile no text, so no `unsafe-eval`. Styles are inline by the thousand in Bokeh's shadow
    roots, hence `unsafe-inline` for them alone.
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'nonce-{nonce}' 'strict-dynamic' 'self'",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self' blob:",
            "form-action 'self'",
            "base-uri 'none'",
            f"frame-ancestors {ancestors}",
        )
    )


def guard(frame_ancestors: str) -> type[OutputTransform]:
    """The transform that adds them. `frame_ancestors`: origins that may show the dashboard in a frame; "": none."""

    class Guard(OutputTransform):
        def __init__(self, request: HTTPServerRequest) -> None:
            self._nonce = secrets.token_urlsafe(18)
            request.headers[NONCE] = self._nonce

        def transform_first_chunk(
            self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
        ) -> tuple[int, HTTPHeaders, bytes]:
            headers["Content-Security-Policy"] = policy(self._nonce, frame_ancestors or "'none'")
            if not frame_ancestors:
                headers["X-Frame-Options"] = "DENY"
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "same-origin"
            headers["Cross-Origin-Opener-Policy"] = "same-origin"
            if headers.get("Content-Type", "").startswith("text/html"):
                headers["Cache-Control"] = "no-store"
            headers.pop("Server", None)
            return status_code, headers, chunk

    return Guard
