"""May a page run only what is ours? The headers of every answer, and a browser that holds a page to them."""

from __future__ import annotations

import base64
import hashlib
import re

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from api.docs_page import SCRIPT_SHA, STYLE_SHA
from dashboards.live.headers import guard
from tests.dashboards.conftest import CHURN, KEY, Product, watched

PLANTED = """(markup) => {
    const parts = [document.body]
    for (const one of document.querySelectorAll("*")) if (one.shadowRoot) parts.push(one.shadowRoot)
    for (const part of parts) {
        const place = document.createElement("div")
        place.innerHTML = markup
        part.appendChild(place)
    }
    return parts.length
}"""
MARKUP = (
    '<img src=x onerror="window.ran = 1"><svg onload="window.ran = 2"></svg>'
    '<iframe srcdoc="<script>top.ran = 3</script>"></iframe><a id=leads href="javascript:window.ran=4">x</a>'
)


def scripts_of(answer: httpx.Response) -> str:
    directives = answer.headers["content-security-policy"].split("; ")
    return next(one for one in directives if one.startswith("script-src"))


@pytest.mark.parametrize("path", ["", "login", "health", "nowhere", "static/js/bokeh.min.js"])
def test_every_answer_says_what_a_page_may_do(product: Product, path: str) -> None:
    answer = httpx.get(f"{product.dashboard_url}{path}")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in scripts_of(answer)
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert "server" not in answer.headers
    if "text/html" in answer.headers["content-type"]:
        assert answer.headers["cache-control"] == "no-store"


def test_the_word_that_lets_a_script_run_is_another_each_time_and_not_the_callers(product: Product) -> None:
    answers = [httpx.get(f"{product.dashboard_url}login", headers={"X-Nonce": "mine"}) for _ in range(2)]
    words = [re.findall("'nonce-(.+?)'", scripts_of(answer))[0] for answer in answers]
    assert len({*words, "mine"}) == 3
    for word, answer in zip(words, answers, strict=True):
        assert re.findall("<script(.*?)>", answer.text) == [f' nonce="{word}"']


def test_markup_that_got_into_a_page_runs_nothing(
    page: Page, context: BrowserContext, product: Product
) -> None:
    other = context.new_page()
    other.goto(f"{product.dashboard_url}?page=model&{CHURN}")
    expect(other.locator(".heat")).to_be_visible()
    refused: list[str] = []
    other.on("console", lambda message: refused.append(message.text))
    assert other.evaluate(PLANTED, MARKUP) > 3
    other.evaluate("document.getElementById('leads').click()")
    other.wait_for_timeout(300)
    assert other.evaluate("window.ran") is None
    assert len([text for text in refused if "Content Security Policy" in text]) > 3


def test_no_other_site_may_frame_it_unless_it_is_named() -> None:
    request = HTTPServerRequest(start_line=RequestStartLine("GET", "/", "HTTP/1.0"), headers=HTTPHeaders())
    headers = HTTPHeaders({"Content-Type": "text/html"})
    guard("https://intranet.example.com")(request).transform_first_chunk(200, headers, b"", True)
    assert headers["Content-Security-Policy"].endswith("frame-ancestors https://intranet.example.com")
    assert "X-Frame-Options" not in headers


def test_the_apis_page_works_under_its_policy(context: BrowserContext, product: Product) -> None:
    stub = b"""window.SwaggerUIBundle = async ({url, dom_id}) => {
        const style = document.createElement("i")
        style.setAttribute("style", "color: red")
        document.querySelector(dom_id).append((await (await fetch(url)).json()).info.title, style)
    }"""
    digest = "sha384-" + base64.b64encode(hashlib.sha384(stub).digest()).decode()

    def page_of_the_stub(route: Route) -> None:
        answer = route.fetch()
        body = answer.text().replace(SCRIPT_SHA, digest)
        assert digest in body
        route.fulfill(response=answer, body=body.replace(f'integrity="{STYLE_SHA}"', ""))

    page = context.new_page()
    errors = watched(page)
    page.route("**/docs", page_of_the_stub)
    page.route(
        "https://cdn.jsdelivr.net/**",
        lambda route: route.fulfill(
            body=stub if route.request.url.endswith(".js") else b"",
            headers={
                "Access-Control-Allow-Origin": "*",
                "Content-Type": "text/javascript" if route.request.url.endswith(".js") else "text/css",
            },
        ),
    )
    page.goto(f"{product.api_url}/docs")
    expect(page.locator("#docs")).to_have_text("ML Guard")
    assert [
        error for error in errors if not error.startswith("https://cdn.jsdelivr.net/npm/swagger-ui-dist@")
    ] == []
    assert KEY not in page.content()
