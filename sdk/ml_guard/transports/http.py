"""How does a batch reach the REST bridge?"""

from __future__ import annotations

import encodings.idna  # noqa: F401 - see `HttpTransport`
import zlib
from collections.abc import Sequence

import httpx
import msgspec

from ml_guard.answers import error_of
from ml_guard.checking import Step
from ml_guard.errors import ConnectionLostError, TransportError
from ml_guard.reporting import encode
from ml_guard.stats import Count
from ml_guard.transports.address import checked_base_url, tls
from ml_guard.transports.base import Batch, Receipt, Rejection, Transport

GZIP_FROM_BYTES = 1024
"""A body below this gains nothing by compression."""
CONNECT_TIMEOUT_S = 3.0

_GZIP = zlib.MAX_WBITS | 16


class _Result(msgspec.Struct):
    index: int
    status: str
    reason: str = "rejected"
    detail: str = ""


class _Reported(msgspec.Struct):
    unknown_projects: list[str] = []


class _Verdicts(msgspec.Struct):
    results: list[_Result]


class HttpTransport(Transport):
    """POST /api/v1/events: the batch as a JSON array, its id as `Idempotency-Key`; durable once answered 200.

    All that httpx imports late is imported when the transport is made: a fork while the outbox's thread imports
    would leave the child with half a module.
    """

    reports = True

    def __init__(self, base_url: str, api_key: str | None, verify: bool | str = True) -> None:
        self._base_url = checked_base_url(base_url)
        self._api_key = api_key
        self._verify = verify
        self._client: httpx.Client | None = self._new_client()

    def send(self, batch: Batch, timeout_s: float) -> Receipt:
        body = b"[" + b",".join(batch.events) + b"]"
        headers = {"Content-Type": "application/json", "Idempotency-Key": batch.batch_id}
        if len(body) >= GZIP_FROM_BYTES:
            packer = zlib.compressobj(level=1, wbits=_GZIP)
            body = packer.compress(body) + packer.flush()
            headers["Content-Encoding"] = "gzip"
        return _receipt(self._post("/api/v1/events", body, headers, timeout_s), len(batch.events))

    def report(self, client_id: str, counts: Sequence[Count], timeout_s: float) -> frozenset[str]:
        body = encode(client_id, counts)
        response = self._post("/api/v1/client-counts", body, {"Content-Type": "application/json"}, timeout_s)
        if response.status_code != 200:
            raise _not_ml_guard(response) if response.status_code < 400 else error_of(response)
        try:
            return frozenset(msgspec.json.decode(response.content, type=_Reported).unknown_projects)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise _not_ml_guard(response) from None

    def check(self, project_id: str | None, timeout_s: float) -> list[Step]:
        from ml_guard.transports.http_check import check

        with self._new_client() as client:
            return check(client, self._base_url, project_id, timeout_s)

    def _post(self, path: str, body: bytes, headers: dict[str, str], timeout_s: float) -> httpx.Response:
        timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S))
        try:
            return self._connected().post(path, content=body, headers=headers, timeout=timeout)
        except httpx.HTTPError as error:
            raise ConnectionLostError(
                f"{self._base_url} does not answer ({type(error).__name__}: {error})"
            ) from error

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def forget(self) -> None:
        self._client = None

    def _connected(self) -> httpx.Client:
        if self._client is None:
            self._client = self._new_client()
        return self._client

    def _new_client(self) -> httpx.Client:
        headers = {"X-API-Key": self._api_key} if self._api_key else {}
        return httpx.Client(
            base_url=self._base_url, headers=headers, verify=tls(self._base_url, self._verify)
        )


def _receipt(response: httpx.Response, events: int) -> Receipt:
    if response.status_code not in (200, 422):
        raise _not_ml_guard(response) if response.status_code < 400 else error_of(response)
    try:
        results = msgspec.json.decode(response.content, type=_Verdicts).results
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _not_ml_guard(response) if response.status_code == 200 else error_of(response) from None
    rejected = _rejections(results, events)
    if response.status_code == 422 and len(rejected) < events:
        raise error_of(response)
    return Receipt(rejected)


def _rejections(results: Sequence[_Result], events: int) -> tuple[Rejection, ...]:
    bad = {r.index: r for r in results if r.status == "error" and 0 <= r.index < events}
    return tuple(Rejection(r.index, r.reason, r.detail) for r in bad.values())


def _not_ml_guard(response: httpx.Response) -> TransportError:
    return ConnectionLostError(
        f"{response.request.url} was answered {response.status_code}, but not as ML Guard answers: check base_url="
    )
