"""The API before the run's database, costs written there as a pull leaves them, and moto in the place of AWS."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import botocore.httpsession
import httpx
import pytest
from moto.server import ThreadedMotoServer

from embedded.process import HOST, free_port
from tests.api.conftest import Door, door, make_settings

__all__ = ["door", "make_settings"]


class Bill:
    """Writes costs and traffic of a project."""

    def __init__(self, door: Door, project: str) -> None:
        self._door, self.project = door, project

    def costs(
        self,
        day: date,
        amount: str,
        currency: str = "USD",
        services: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        row = {"estimated": False, "pulled_at": datetime.now().astimezone()} | more
        self._door.sql(
            """insert into ml_guard.cost_day (project_id, day, currency, amount, services, estimated, pulled_at)
               values ($1, $2, $3, $4, $5::text::jsonb, $6, $7)""",
            self.project,
            day,
            currency,
            Decimal(amount),
            json.dumps(services or {}),
            row["estimated"],
            row["pulled_at"],
        )

    def traffic(self, at: datetime, requests: int, model: str = "churn") -> None:
        self._door.sql(
            """insert into ml_guard.traffic_minute (project_id, model_id, endpoint, minute, shard, requests)
               values ($1, $2, 'predict', $3, 0, $4)""",
            self.project,
            model,
            at,
            requests,
        )


@pytest.fixture
def bill(door: Door) -> Bill:
    """A new project in Toronto, whose days are not AWS's."""
    return Bill(door, door.project("America/Toronto"))


def days_from(first: date, count: int) -> list[date]:
    """Dates in a row."""
    return [first + timedelta(days=n) for n in range(count)]


def total(day: date, amount: str, unit: str = "USD", *, estimated: bool = False) -> dict[str, Any]:
    """A day as Cost Explorer tells it without groups."""
    return _result(day, estimated, Total={"UnblendedCost": {"Amount": amount, "Unit": unit}}, Groups=[])


def grouped(day: date, parts: Mapping[str, tuple[str, str]], *, estimated: bool = False) -> dict[str, Any]:
    """A day by service: amount and unit of each."""
    groups = [
        {"Keys": [service], "Metrics": {"UnblendedCost": {"Amount": amount, "Unit": unit}}}
        for service, (amount, unit) in parts.items()
    ]
    return _result(day, estimated, Total={}, Groups=groups)


def _result(day: date, estimated: bool, **more: Any) -> dict[str, Any]:
    period = {"Start": str(day), "End": str(day + timedelta(days=1))}
    return {"TimePeriod": period, "Estimated": estimated, **more}


@dataclass
class Aws:
    """moto's server, and what it was asked."""

    address: str
    sent: list[bytes]

    @property
    def asked(self) -> list[dict[str, Any]]:
        """Every request."""
        return [json.loads(body) for body in self.sent]

    def answers(self, *pages: list[dict[str, Any]], tokens: tuple[str, ...] = ()) -> None:
        """The answers to the next requests; all but the last one carry a token for the next page."""
        results = [{"ResultsByTime": days, "DimensionValueAttributes": []} for days in pages]
        for result, token in zip(results, tokens, strict=False):
            result["NextPageToken"] = token  # type: ignore[assignment]
        httpx.post(
            f"{self.address}/moto-api/static/ce/cost-and-usage-results", json={"results": results}
        ).raise_for_status()

    def forgets(self) -> None:
        """moto answers a question that it has had as it did then; from now on it does not."""
        httpx.post(f"{self.address}/moto-api/reset").raise_for_status()

    @property
    def periods(self) -> list[tuple[str, str]]:
        """First day and the one after the last of every request."""
        return [(one["TimePeriod"]["Start"], one["TimePeriod"]["End"]) for one in self.asked]


@pytest.fixture(scope="session")
def moto_address() -> Iterator[str]:
    server = ThreadedMotoServer(HOST, free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def nothing_leaves_this_machine(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """No request of botocore goes anywhere but to loopback, and no credential of this machine is found."""
    sent: list[bytes] = []
    send = botocore.httpsession.URLLib3Session.send

    def guarded(self: Any, request: Any) -> Any:
        assert urlsplit(request.url).hostname == HOST, f"a test was about to ask {request.url}"
        sent.append(request.body)
        return send(self, request)

    monkeypatch.setattr(botocore.httpsession.URLLib3Session, "send", guarded)
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    return sent


SECRET = "wJalrXUtnFEMIsecretEXAMPLE"


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


@pytest.fixture
def aws(
    moto_address: str,
    credentials: None,
    nothing_leaves_this_machine: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> Aws:
    """AWS with nothing in it, where boto3 finds it: by its own settings in the environment."""
    httpx.post(f"{moto_address}/moto-api/reset").raise_for_status()
    monkeypatch.setenv("AWS_ENDPOINT_URL_COST_EXPLORER", moto_address)
    return Aws(moto_address, nothing_leaves_this_machine)
