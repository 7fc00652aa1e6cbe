"""Who gets in, and what does a browser learn of the key?"""

from __future__ import annotations

import httpx
from playwright.sync_api import BrowserContext, Page, expect

from tests.dashboards.conftest import KEY, Product, log_in


def test_without_a_log_in_every_page_leads_to_the_form_and_back_to_itself(
    context: BrowserContext, product: Product
) -> None:
    page = context.new_page()
    page.goto(f"{product.dashboard_url}?page=health")
    expect(page.locator(".hint code")).to_have_text(KEY)
    page.fill("#key", KEY)
    page.click("button.main")
    expect(page.locator("h1")).to_have_text("Ledger and health")
    assert "page=health" in page.url


def test_a_wrong_key_is_refused_with_a_sentence(context: BrowserContext, product: Product) -> None:
    page = context.new_page()
    page.goto(product.dashboard_url)
    page.fill("#key", "mlg_nobody")
    page.click("button.main")
    expect(page.get_by_role("alert")).to_contain_text("does not know this key")


def test_a_key_that_may_only_send_is_refused(product: Product) -> None:
    with product.client() as client:
        secret = client.keys.create("sender", scopes=["ingest"]).key
    answer = httpx.post(f"{product.dashboard_url}login", data={"key": secret, "next": ""})
    assert answer.status_code == 401
    assert "may send events only" in answer.text


def test_one_who_guesses_keys_waits_and_nobody_else(product: Product) -> None:
    form, wrong = f"{product.dashboard_url}login", {"key": "mlg_nobody", "next": ""}
    with httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.2")) as guessing:
        answers = [
            guessing.post(form, data=wrong, headers={"X-Forwarded-For": f"192.0.2.{i}"}) for i in range(30)
        ]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert {answer.status_code for answer in answers} == {401, 429}
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
        assert "Too many keys were tried from your address" in refused[0].text
        while guessing.post(form, data=wrong).status_code != 429:
            pass
        assert guessing.post(form, data={"key": KEY, "next": ""}).status_code == 429
        with product.client() as client:
            secret = client.keys.create("never used", scopes=["read"]).key
        assert httpx.post(form, data={"key": secret, "next": ""}).status_code == 303


def test_neither_the_address_nor_the_page_nor_a_script_learns_the_key(
    page: Page, context: BrowserContext
) -> None:
    cookie = next(one for one in context.cookies() if one["name"] == "ml_guard_dashboard")
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Lax"
    for secret in (KEY, cookie["value"]):
        assert secret not in page.url
        assert secret not in page.content()
        assert secret not in page.evaluate("document.cookie")


def test_the_log_in_leads_nowhere_else(product: Product) -> None:
    answer = httpx.post(
        f"{product.dashboard_url}login", data={"key": KEY, "next": "//evil.example/?page=health"}
    )
    assert answer.status_code == 303
    assert answer.headers["location"] == "/?page=health"


def test_a_page_without_the_cookie_is_not_served(product: Product) -> None:
    assert httpx.get(product.dashboard_url).status_code == 302
    forged = httpx.get(product.dashboard_url, headers={"X-Visitor": "a" * 64})
    assert forged.status_code == 302


def test_a_revoked_key_is_told_to_log_in_again(context: BrowserContext, product: Product) -> None:
    with product.client() as client:
        key = client.keys.create("short-lived", scopes=["read"])
        page = context.new_page()
        log_in(page, product.dashboard_url, key.key)
        client.keys.revoke(key.key_id)
    page.reload()
    expect(page.get_by_text("Your key is no longer valid.")).to_be_visible()
    page.get_by_role("link", name="Log in again").click()
    expect(page.locator("#key")).to_be_visible()
