"""What becomes of AWS's refusals and of its throttling? botocore's own stubber, and a server that throttles over HTTP."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError, ProfileNotFound, ProxyConnectionError
from botocore.stub import Stubber

from stream.costs import explorer as module
from stream.costs.bill import question
from stream.costs.errors import (
    AwsRefusedError,
    AwsUnavailableError,
    BadBillError,
    CostError,
    NoAwsCredentialsError,
)
from stream.costs.explorer import Explorer, client, translated
from stream.costs.question import CostFilter
from tests.costs.conftest import SECRET, Aws, total

DAY = date(2025, 3, 4)
FILTER = CostFilter(services=["AWS Lambda"])


@pytest.fixture
def stubbed() -> Iterator[tuple[Explorer, Stubber]]:
    """An explorer whose client answers what the stubber is told, and checks what it is asked."""
    made = boto3.client(
        "ce", region_name="us-east-1", aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key=SECRET
    )
    with Stubber(made) as stubber:
        yield Explorer(connect=lambda: made), stubber
        stubber.assert_no_pending_responses()


def page(token: str | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = {"ResultsByTime": [total(DAY, "1")], "DimensionValueAttributes": []}
    return answer if token is None else answer | {"NextPageToken": token}


async def test_every_page_is_asked_for_with_the_same_question_and_its_token(
    stubbed: tuple[Explorer, Stubber],
) -> None:
    explorer, stubber = stubbed
    asked = question(FILTER, DAY, DAY)
    stubber.add_response("get_cost_and_usage", page("a"), asked)
    stubber.add_response("get_cost_and_usage", page("b"), asked | {"NextPageToken": "a"})
    stubber.add_response("get_cost_and_usage", page(), asked | {"NextPageToken": "b"})
    bill = await explorer.bill(FILTER, DAY, DAY)
    assert (bill.requests, str(bill.days[0].amount)) == (3, "3")


async def test_pages_that_do_not_end_are_given_up(
    stubbed: tuple[Explorer, Stubber], monkeypatch: pytest.MonkeyPatch
) -> None:
    explorer, stubber = stubbed
    monkeypatch.setattr(module, "PAGES_MOST", 3)
    for _ in range(3):
        stubber.add_response("get_cost_and_usage", page("again"))
    with pytest.raises(BadBillError, match="does not end after 3 pages"):
        await explorer.bill(FILTER, DAY, DAY)


@pytest.mark.parametrize(
    ("code", "status", "kind", "said"),
    [
        ("LimitExceededException", 400, AwsUnavailableError, "throttles"),
        ("ThrottlingException", 400, AwsUnavailableError, "throttles"),
        ("DataUnavailableException", 400, AwsUnavailableError, "cannot answer now"),
        ("RequestChangedException", 400, AwsUnavailableError, "cannot answer now"),
        ("InternalFailure", 500, AwsUnavailableError, "cannot answer now"),
        ("ServiceUnavailable", 503, AwsUnavailableError, "cannot answer now"),
        ("AccessDeniedException", 400, AwsRefusedError, "ce:GetCostAndUsage"),
        ("ExpiredTokenException", 400, AwsRefusedError, "credentials must be valid"),
        ("InvalidSignatureException", 403, AwsRefusedError, "credentials must be valid"),
        ("ValidationException", 400, AwsRefusedError, "the reason of AWS"),
    ],
)
async def test_a_refusal_says_what_to_do_and_whether_to_try_again(
    stubbed: tuple[Explorer, Stubber], code: str, status: int, kind: type[CostError], said: str
) -> None:
    explorer, stubber = stubbed
    stubber.add_client_error("get_cost_and_usage", code, "the reason of AWS", status)
    with pytest.raises(kind, match=said) as raised:
        await explorer.bill(FILTER, DAY, DAY)
    assert raised.value.retriable is (kind is AwsUnavailableError)


def test_what_boto3_cannot_do_becomes_an_error_without_addresses_or_secrets() -> None:
    proxy = ProxyConnectionError(proxy_url=f"http://user:{SECRET}@proxy:3128", error=OSError())
    away = EndpointConnectionError(endpoint_url="https://ce.example")
    assert (SECRET in str(proxy), SECRET in str(translated(proxy))) == (True, False)
    assert [translated(error).retriable for error in (proxy, away)] == [True, True]
    assert isinstance(translated(ProfileNotFound(profile="none")), AwsRefusedError)


def test_without_credentials_no_client_is_made() -> None:
    with pytest.raises(NoAwsCredentialsError, match="AWS_ACCESS_KEY_ID"):
        client()


@pytest.mark.parametrize(
    ("setting", "default", "region"),
    [
        (None, None, "us-east-1"),
        (None, "eu-west-1", "eu-west-1"),
        ("cn-northwest-1", "eu-west-1", "cn-northwest-1"),
    ],
)
def test_the_region_is_the_settings_else_awss_default_else_where_cost_explorer_is(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, setting: str | None, default: str | None, region: str
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    if default is not None:
        monkeypatch.setenv("AWS_DEFAULT_REGION", default)
    made = client(setting)
    assert (made.meta.region_name, made.meta.endpoint_url) == (region, aws.address)


async def test_the_loop_goes_on_while_aws_is_asked() -> None:
    asked, answered = threading.Event(), threading.Event()

    def connect() -> Any:
        asked.set()
        answered.wait()
        raise NoAwsCredentialsError

    bill = asyncio.create_task(Explorer(connect=connect).bill(FILTER, DAY, DAY))
    while not asked.is_set():
        await asyncio.sleep(0)
    assert not bill.done()  # AWS is being asked, and this loop runs
    answered.set()
    with pytest.raises(NoAwsCredentialsError):
        await bill


WAITS_FOR_EVER = """
import asyncio, threading
from datetime import date
from stream.costs.explorer import Explorer
from stream.costs.question import CostFilter

asked = threading.Event()
def connect():
    asked.set()
    threading.Event().wait()

async def main():
    bill = asyncio.create_task(Explorer(connect=connect).bill(CostFilter(services=["x"]), date.min, date.min))
    while not asked.is_set():
        await asyncio.sleep(0)
    bill.cancel()

asyncio.run(main())
print("ended")
"""


def test_a_process_that_ends_does_not_wait_for_aws() -> None:
    done = subprocess.run([sys.executable, "-c", WAITS_FOR_EVER], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr


class _Throttling(BaseHTTPRequestHandler):
    """Throttles as Cost Explorer does, so many times; then answers."""

    left = 0
    requests = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        type(self).requests += 1
        throttled = type(self).left > 0
        type(self).left -= 1
        body = {"__type": "LimitExceededException", "message": "slower"} if throttled else page()
        data = json.dumps(body).encode()
        self.send_response(400 if throttled else 200)
        self.send_header("content-type", "application/x-amz-json-1.1")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def throttling(credentials: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Throttling]]:
    handler = type("Handler", (_Throttling,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_COST_EXPLORER", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff._MAX_BACKOFF", 0.01)
    yield handler
    server.shutdown()
    server.server_close()
    thread.join()


async def test_a_throttled_request_is_made_again_until_aws_answers(throttling: type[_Throttling]) -> None:
    throttling.left = 2
    bill = await Explorer().bill(FILTER, DAY, DAY)
    assert (throttling.requests, str(bill.days[0].amount)) == (3, "1")


async def test_who_is_throttled_all_the_time_gives_up_and_may_try_again_later(
    throttling: type[_Throttling],
) -> None:
    throttling.left = 100
    with pytest.raises(AwsUnavailableError, match="throttles"):
        await Explorer().bill(FILTER, DAY, DAY)
    assert throttling.requests == module.ATTEMPTS
