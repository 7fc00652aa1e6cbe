"""How is Cost Explorer asked? By boto3, in a thread, with every page; what fails becomes one of our errors.

Each page is a request that AWS charges for (docs/costs.md). boto3 finds credentials, profile and endpoint as everywhere.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from stream.costs.bill import DayCost, question, read_bill
from stream.costs.errors import (
    AwsRefusedError,
    AwsUnavailableError,
    BadBillError,
    CostError,
    NoAwsCredentialsError,
)
from stream.costs.question import CostFilter

if TYPE_CHECKING:
    from types_boto3_ce import CostExplorerClient

REGION = "us-east-1"
"""Where Cost Explorer is, whatever the region of what it reports on; China has its own."""

PAGES_MOST = 100
"""A year of days with a hundred services has a few dozen; more is an answer that goes round in circles."""

ATTEMPTS = 4
CONNECT_S = 5
READ_S = 30

THROTTLED = frozenset(
    {"LimitExceededException", "Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded"}
)  # fmt: skip
LATER = frozenset(
    {
        "DataUnavailableException",
        "InvalidNextTokenException",
        "RequestChangedException",
        "BillExpirationException",
    }
)

# At level DEBUG they log whole requests, and with them a session's token.
for _name in ("boto3", "botocore", "urllib3"):
    logging.getLogger(_name).setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Bill:
    """What AWS said, and how many requests that took."""

    days: tuple[DayCost, ...]
    requests: int


class Explorer:
    """Asks Cost Explorer, never on the event loop.

    Parameters
    ----------
    region : str, optional
        Else AWS_DEFAULT_REGION or the profile's, else us-east-1.
    connect : callable, optional
        Makes the client; called in the thread.
    """

    def __init__(
        self, region: str | None = None, connect: Callable[[], CostExplorerClient] | None = None
    ) -> None:
        self._connect = connect or (lambda: client(region))

    async def bill(self, chosen: CostFilter, first: date, last: date) -> Bill:
        """The costs of the days from `first` to `last`, both included.

        Raises
        ------
        CostError
            If AWS does not say; see `stream.costs.errors`.
        """
        return await _in_thread(lambda: self._bill(chosen, first, last))

    def _bill(self, chosen: CostFilter, first: date, last: date) -> Bill:
        pages = self._pages(question(chosen, first, last))
        days = read_bill(pages, chosen.currency)
        return Bill(tuple(day for day in days if first <= day.day <= last), len(pages))

    def _pages(self, asked: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        from botocore.exceptions import BotoCoreError, ClientError

        pages: list[Mapping[str, Any]] = []
        token: dict[str, str] = {}
        try:
            explorer = self._connect()
            while len(pages) < PAGES_MOST:
                page = explorer.get_cost_and_usage(**asked, **token)  # type: ignore[arg-type]
                pages.append(page)
                if not page.get("NextPageToken"):
                    return pages
                token = {"NextPageToken": page["NextPageToken"]}
        except (ClientError, BotoCoreError) as error:
            raise translated(error) from error
        raise BadBillError(
            f"Cost Explorer's answer does not end after {PAGES_MOST} pages: ask for fewer days"
        )


async def _in_thread(work: Callable[[], Bill]) -> Bill:
    """Work beside the loop. A daemon thread, since a process that ends is not to wait for AWS."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Bill] = loop.create_future()

    def tell(answer: Bill | Exception) -> None:
        if done.cancelled():
            return
        if isinstance(answer, Exception):
            done.set_exception(answer)
        else:
            done.set_result(answer)

    def run() -> None:
        answer: Bill | Exception
        try:
            answer = work()
        except Exception as error:
            answer = error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, answer)

    threading.Thread(target=run, name="cost-explorer", daemon=True).start()
    return await done


def client(region: str | None = None) -> CostExplorerClient:
    """A client of Cost Explorer with what boto3 finds. Raises `NoAwsCredentialsError`."""
    import boto3
    from botocore.config import Config

    session = boto3.session.Session()
    if session.get_credentials() is None:
        raise NoAwsCredentialsError
    config = Config(
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    )
    return session.client("ce", region_name=region or session.region_name or REGION, config=config)


def translated(error: Exception) -> CostError:
    """What a failure of boto3 is here. AWS's words are taken over only where they name no credential."""
    from botocore import exceptions

    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return NoAwsCredentialsError()
    if isinstance(error, exceptions.HTTPClientError | exceptions.ConnectionError):
        return AwsUnavailableError(f"AWS cannot be reached ({type(error).__name__})")
    if not isinstance(error, exceptions.ClientError):
        return AwsRefusedError(
            f"boto3 cannot ask AWS ({type(error).__name__}): see docs/costs.md for its settings"
        )
    code = str(error.response.get("Error", {}).get("Code", ""))
    said = str(error.response.get("Error", {}).get("Message", ""))[:300]
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in THROTTLED or status == 429:
        return AwsUnavailableError(f"AWS throttles ({code}), after {ATTEMPTS} attempts")
    if code in LATER or status >= 500:
        return AwsUnavailableError(f"AWS cannot answer now ({code})")
    if code == "ValidationException":
        return AwsRefusedError(f"AWS does not understand the filter or the days: {said}")
    return AwsRefusedError(
        f"AWS refuses ({code}): the credentials must be valid and may need ce:GetCostAndUsage (docs/costs.md)"
    )
