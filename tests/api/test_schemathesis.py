"""Do the API's answers keep what its OpenAPI document says? schemathesis makes the requests, good ones and bad ones."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import msgspec
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.app import create_app
from stream.settings import Settings
from tests.api.conftest import DEMO, Door
from tests.api.test_doors import DOORS, P
from tests.api.test_results import project

__all__ = ["project"]

LINES = st.lists(
    st.dictionaries(
        st.sampled_from(["project_id", "model_id", "features", "feature", "values", "v"]),
        st.sampled_from([P, "m", {"age": 1.5}, "age", [1.0, None, "CA"], 1]),
    ).map(msgspec.json.encode)
    | st.binary(max_size=20),
    max_size=5,
).map(b"\n".join)
"""What an NDJSON body is made of: lines of events or columns, near enough to good ones, and what is no JSON."""
schemathesis.openapi.media_type("application/x-ndjson", LINES)

DOCUMENT = create_app(Settings()).openapi()
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
NEVER_ENDS = ("get", "/api/v1/live")
"""The event stream ends when its reader leaves; a tester that reads to the end stands still. `test_live.py` reads it."""
EACH = [
    pytest.param(path, method, id=f"{method} {path}")
    for path, methods in DOCUMENT["paths"].items()
    for method in methods
    if (method, path) != NEVER_ENDS
]
CAN_BE_WRONG = [
    each
    for each in EACH
    if {"parameters", "requestBody"} & set(DOCUMENT["paths"][each.values[0]][each.values[1]])
]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 6
NAMES = {"project_id", "model_id", "zone", "days"}
UNSPOKEN = ("cursor", "day", "from", "to", "a_from", "a_to", "b_from", "b_to")
"""What the document's types cannot say: a cursor is one that was given, days do not run backwards."""
METHODS = {"GET", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "TRACE", "HEAD", "CONNECT", "QUERY"}


@pytest.fixture(scope="module")
def session(door: Door) -> Iterator[requests.Session]:
    """One connection with a key for everything; nobody asks the machine's cloud for credentials."""
    with pytest.MonkeyPatch.context() as patch, requests.Session() as made:
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        made.headers["X-API-Key"] = DEMO
        yield made


def named(case: Case, project: str) -> None:
    """Ask for what is there, which chance alone would never name; the rest stays as it was made."""
    attempt = DOORS.get((case.method.lower(), case.path.removeprefix("/api/v1")))
    if attempt is None:
        return
    known = json.loads(
        json.dumps([attempt.params, attempt.path, attempt.body]).replace(P, project).replace('"m"', '"churn"')
    )
    for place, values in zip((case.query, case.path_parameters, case.body), known, strict=True):
        if isinstance(place, dict) and isinstance(values, dict):
            for name in UNSPOKEN:
                place.pop(name, None)
            place.update(values if place is not case.body else {n: values[n] for n in NAMES & values.keys()})


def tried(case: Case, door: Door, session: requests.Session) -> None:
    """One request, and whether its answer is one that the document has."""
    response = case.call(base_url=door.address, session=session, timeout=30)
    not_ready = case.path == "/api/v1/ready" and response.status_code == 503
    case.validate_response(response, checks=CHECKS[1:] if not_ready else CHECKS)  # no worker runs here
    documented = DOCUMENT["paths"][case.path][case.method.lower()]["responses"]
    assert response.status_code >= 400 or str(response.status_code) in documented  # `default` is for problems


def run(
    door: Door, session: requests.Session, project: str, operation: APIOperation, mode: GenerationMode
) -> None:
    """Try the operation with requests of this kind, the same ones each time."""

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
    def each(case: Case, known: bool) -> None:
        if known:
            named(case, project)
        tried(case, door, session)

    each()


@pytest.mark.parametrize(("path", "method"), EACH)
def test_answers_to_good_requests_are_as_the_document_says(
    door: Door, session: requests.Session, project: str, path: str, method: str
) -> None:
    run(door, session, project, SCHEMA[path][method.upper()], GenerationMode.POSITIVE)


@pytest.mark.parametrize(("path", "method"), CAN_BE_WRONG)
def test_bad_requests_are_answered_as_the_document_says(
    door: Door, session: requests.Session, project: str, path: str, method: str
) -> None:
    run(door, session, project, SCHEMA[path][method.upper()], GenerationMode.NEGATIVE)


def test_a_method_that_is_not_in_the_document_is_refused_with_those_that_are(
    door: Door, session: requests.Session
) -> None:
    for path in DOCUMENT["paths"]:
        address = path.format(project_id=P, version=1, key_id="k", id="0")
        fitting = [
            other for other in DOCUMENT["paths"] if re.fullmatch(re.sub(r"\{.*?\}", "[^/]+", other), address)
        ]
        declared = {method.upper() for other in fitting for method in DOCUMENT["paths"][other]}
        for method in METHODS - declared:
            answer = session.request(method, door.address + address)
            assert answer.status_code == 405, (method, path)
            assert set(answer.headers["Allow"].split(", ")) == declared, path
