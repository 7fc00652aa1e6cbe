"""What may a browser do with an answer of the API? Headers, over real HTTP."""

from __future__ import annotations

import pytest

from tests.api.conftest import Door


@pytest.mark.parametrize(
    "path",
    [
        "/health",
        "/projects",
        "/nowhere",
        "/openapi.json",
        "/keys/current",
        "/metrics/daily?limit=0",
        "/../../metrics",
    ],
)
def test_an_answer_is_no_page_and_is_kept_nowhere(door: Door, path: str) -> None:
    with door.client() as client:
        headers = client.get(path).headers
    assert "default-src 'none'; frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers
    assert "strict-transport-security" not in headers  # said by the proxy that ends TLS


def test_the_answer_with_a_keys_secret_is_kept_nowhere(door: Door) -> None:
    with door.client() as client:
        made = client.post("/keys", json={"name": "k", "scopes": ["read"], "project_ids": None})
    assert made.json()["key"]
    assert made.headers["cache-control"] == "no-store"


def test_the_page_of_the_document_loads_two_files_whose_bytes_are_named(door: Door) -> None:
    with door.client(None) as client:
        page = client.get(f"{door.address}/docs")
        assert client.get(f"{door.address}/redoc").status_code == 404
    assert page.text.count('integrity="sha384-') == page.text.count("https://") == 2
    scripts = page.headers["content-security-policy"].split("script-src ")[1].split(";")[0]
    assert "unsafe" not in scripts
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
