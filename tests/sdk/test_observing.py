"""Is a call of the host's code an event, with what it took and gave, and is the call itself left as it was?"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pytest
from pydantic import BaseModel

from ml_guard.testing import RecordingClient


@pytest.fixture
def client() -> Iterator[RecordingClient]:
    recording = RecordingClient("p", "m")
    yield recording
    recording.close()


class Customer(BaseModel):
    age: int
    country: str


@dataclass
class Person:
    age: int


class Row(msgspec.Struct):
    age: int


def test_a_function_is_watched_and_stays_what_it_is(client: RecordingClient) -> None:
    @client.monitor(model_id="churn", endpoint="score")
    def predict(age: int, country: str = "CA", *, active: bool = True) -> float:
        """What it does."""
        return age / 2

    assert predict(30, active=False) == 15
    (event,) = client.events
    assert (event.project_id, event.model_id, event.endpoint) == ("p", "churn", "score")
    assert event.features == {"age": 30, "country": "CA", "active": False}
    assert event.y_pred == 15
    assert event.latency_ms is not None
    assert event.latency_ms >= 0
    assert (predict.__name__, predict.__doc__) == ("predict", "What it does.")
    assert list(inspect.signature(predict).parameters) == ["age", "country", "active"]


async def test_a_coroutine_function_is_watched_over_its_awaits(client: RecordingClient) -> None:
    gate = asyncio.Event()

    @client.monitor()
    async def predict(age: int) -> dict[str, float]:
        await gate.wait()
        return {"y_pred": 1, "y_proba": 0.75, "explanation": 3}

    assert inspect.iscoroutinefunction(predict)
    calls = [asyncio.create_task(predict(age)) for age in (1, 2)]
    await asyncio.sleep(0)
    assert client.events == []
    gate.set()
    await asyncio.gather(*calls)
    events = client.events
    assert [event.features for event in events] == [{"age": 1}, {"age": 2}]
    assert [(event.y_pred, event.y_proba) for event in events] == [(1, 0.75)] * 2


@pytest.mark.parametrize(
    "argument", [{"age": 3}, Person(3), Row(3), Customer(age=3, country="CA")], ids=lambda a: type(a).__name__
)
def test_an_argument_that_holds_fields_gives_its_fields(client: RecordingClient, argument: Any) -> None:
    @client.monitor()
    def predict(customer: Any) -> int:
        return 1

    predict(argument)
    assert client.events[0].features["age"] == 3
    assert "customer" not in client.events[0].features


def test_features_and_results_may_be_chosen(client: RecordingClient) -> None:
    @client.monitor(features="row", result=lambda answer: {"y_pred": answer[0], "y_proba": max(answer[1])})
    def by_name(model: object, row: dict[str, int]) -> Any:
        return "gold", [0.2, 0.8]

    @client.monitor(features=lambda row, **_: {"size": len(row)}, result=len)
    def by_function(row: list[int]) -> list[int]:
        return row

    by_name(object(), {"age": 3})
    by_function([1, 2, 3])
    first, second = client.events
    assert (first.features, first.y_pred, first.y_proba) == ({"age": 3}, "gold", 0.8)
    assert (second.features, second.y_pred) == ({"size": 3}, 3)


def test_methods_and_many_arguments_are_watched(client: RecordingClient) -> None:
    class Model:
        @client.monitor()
        def predict(self, *values: float, **more: float) -> Any:
            return np.float32(sum(values))

        @classmethod
        @client.monitor()
        def load(cls, size: int) -> int:
            return size

    assert Model().predict(1.0, 2.0, bias=0.5) == 3
    Model.load(7)
    first, second = client.events
    assert first.features == {"values_0": 1, "values_1": 2, "bias": 0.5}
    assert first.y_pred == 3
    assert second.features == {"size": 7}


def test_an_exception_of_the_host_passes_through_and_is_no_inference(client: RecordingClient) -> None:
    error = ValueError("the host's own")

    @client.monitor()
    def predict(age: int) -> int:
        raise error

    with pytest.raises(ValueError, match="the host's own") as caught:
        predict(1)
    assert caught.value is error
    with pytest.raises(KeyError), client.observe():
        raise KeyError("host")
    with pytest.raises(TypeError, match="unexpected keyword"):
        predict(nonsense=1)  # type: ignore[call-arg]
    assert client.events == []
    assert client.stats().dropped == {}


async def test_a_call_that_is_cancelled_is_no_inference(client: RecordingClient) -> None:
    @client.monitor()
    async def predict() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(predict())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert client.events == []


def test_what_goes_wrong_in_watching_does_not_reach_the_host(client: RecordingClient, caplog: Any) -> None:
    @client.monitor(features=lambda age: 1 / 0)
    def predict(age: int) -> int:
        return age

    @client.monitor(features="customer")
    def misnamed(age: int) -> int:
        return age

    @client.monitor()
    def image(pixels: list[int]) -> int:
        return 1

    assert (predict(1), misnamed(2), image([1, 2])) == (1, 2, 1)
    assert client.stats().dropped == {"invalid": 3}
    assert "predict is not sent: its features= or result= failed (ZeroDivisionError)" in caplog.text
    assert "misnamed is not sent: its features= or result= failed (KeyError)" in caplog.text
    assert "features.pixels is a list" in caplog.text


def test_a_block_is_measured_and_says_what_it_likes(client: RecordingClient) -> None:
    with client.observe(endpoint="rank", features={"age": 3}) as seen:
        seen.y_pred = 1
        seen.y_proba = 0.5
        seen.features["country"] = "CA"
    with client.observe() as seen:
        seen.latency_ms = 7.5
    with client.observe() as seen:
        seen.discard()
    first, second = client.events
    assert (first.endpoint, first.y_pred, first.y_proba) == ("rank", 1, 0.5)
    assert first.features == {"age": 3, "country": "CA"}
    assert first.latency_ms is not None
    assert second.latency_ms == 7.5
