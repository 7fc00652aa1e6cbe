"""Does one see what is wrong, take it on, mute it, and set what is alerted on?"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from dashboards.live.conditions import CONDITIONS
from ml_guard.alert_shapes import Alert
from stream.alerting import policies
from tests.dashboards.conftest import WAIT_S, Product, log_in, wait_for, watched
from tests.dashboards.test_live import send


def alert_of(product: Product, policy: str, model: str, state: str = "open") -> Alert:
    """An alert that the planted drift made; there is one once its day is judged."""
    found: list[Alert] = []

    def is_there() -> bool:
        with product.client() as client:
            found[:] = [
                row for row in client.alerts.list(state=state, model_id=model) if row.policy == policy
            ]
        return bool(found)

    wait_for(is_there)
    return found[0]


@pytest.fixture
def operator(context: BrowserContext, product: Product) -> Page:
    """A page of somebody whose key is called on-call."""
    with product.client() as client:
        secret = client.keys.create("on-call", scopes=["read", "operate"]).key
    page = context.new_page()
    log_in(page, product.dashboard_url, secret)
    return page


def test_an_alert_says_what_moved_who_was_told_and_leads_to_the_bins(page: Page, product: Product) -> None:
    alert = alert_of(product, "drift", "churn_model_v1")
    page.get_by_role("link", name="Alerts").click()
    row = page.locator(f"tr[data-alert='{alert.alert_id}']")
    expect(row).to_contain_text("2 features in drift")
    expect(row).to_contain_text("balance and 1 more")
    row.get_by_role("link").click()
    expect(page.locator("h1")).to_have_text("2 features in drift")
    expect(page.locator(".tiles")).to_contain_text("final, revision 1")
    moved = page.locator("tr[data-feature=country]")
    expect(moved).to_contain_text(re.compile(r"US −1\d\.\d"))
    expect(moved).to_contain_text(re.compile(r"BR \+1\d\.\d"))
    told = page.locator("tr[data-message]", has_text="desk")
    expect(told).to_contain_text("sent")
    unreached = page.locator("tr[data-message]", has_text="closed")
    expect(unreached).to_contain_text("pending")
    expect(unreached).to_contain_text(re.compile("connect", re.IGNORECASE))
    page.locator("tr[data-feature=country]").get_by_role("link").click()
    expect(page.locator("tr[data-moved]")).to_have_count(2)
    assert f"day={alert.day}" in page.url


def test_acknowledging_shows_the_keys_name_and_moves_the_alert_to_those_in_hand(
    operator: Page, product: Product
) -> None:
    alert = alert_of(product, "feature_set", "fraud_v3")
    operator.goto(f"{product.dashboard_url}?page=alert&alert={alert.alert_id}")
    expect(operator.locator("[data-fact=state]")).to_contain_text("open")
    operator.get_by_role("button", name="Acknowledge").click()
    expect(operator.locator("[data-fact=said]")).to_contain_text("Acknowledged by the key “on-call”")
    expect(operator.locator("[data-fact=acknowledged]")).to_contain_text("“on-call”")
    expect(operator.locator("[data-fact=state]")).to_contain_text("acknowledged")
    operator.goto(f"{product.dashboard_url}?page=alerts&state=acknowledged")
    expect(operator.locator(f"tr[data-alert='{alert.alert_id}']")).to_contain_text("on-call")
    with product.client() as client:
        assert client.alerts.show(alert.alert_id).acknowledged_by == "on-call"


def test_an_alert_is_muted_for_a_while_or_until_a_local_time_and_unmuted(
    operator: Page, product: Product
) -> None:
    alert = alert_of(product, "type_change", "fraud_v3")
    operator.goto(f"{product.dashboard_url}?page=alert&alert={alert.alert_id}")
    operator.get_by_role("button", name="8 h").click()
    muted = operator.locator("[data-fact=muted]")
    expect(muted).to_contain_text(re.compile("muted until .*, Asia/Kathmandu, by the key “on-call”"))
    operator.get_by_role("button", name="End the mute").click()
    expect(muted).to_contain_text("Not muted")
    operator.fill("#until", "2020-01-01T00:00")
    operator.get_by_role("button", name="Mute", exact=True).click()
    expect(operator.locator("[data-fact=said]")).to_contain_text("ends in the future")
    tomorrow = datetime.now(UTC).date() + timedelta(days=2)
    operator.fill("#until", f"{tomorrow}T06:15")
    operator.get_by_role("button", name="Mute", exact=True).click()
    expect(muted).to_contain_text(f"until {tomorrow:%b} {tomorrow.day} 06:15, Asia/Kathmandu")
    with product.client() as client:
        row = client.alerts.show(alert.alert_id)
    assert row.muted_by == "on-call"
    assert row.muted_until is not None
    local_midnight = datetime(
        tomorrow.year, tomorrow.month, tomorrow.day, 0, 30, tzinfo=UTC
    )  # 06:15 is 5:45 ahead
    assert abs(row.muted_until - local_midnight) <= timedelta(minutes=1)


def test_a_key_that_may_only_read_is_told_why_it_cannot_acknowledge_or_set(
    context: BrowserContext, product: Product
) -> None:
    alert = alert_of(product, "missing_values", "credit_limit_v2")
    with product.client() as client:
        secret = client.keys.create("looker", scopes=["read"]).key
    page = context.new_page()
    log_in(page, product.dashboard_url, secret)
    page.goto(f"{product.dashboard_url}?page=alert&alert={alert.alert_id}")
    expect(page.get_by_text("Your key “looker” may look only.")).to_be_visible()
    expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)
    page.goto(f"{product.dashboard_url}?page=policies&policy=latency&project=*&model=*&endpoint=*&feature=*")
    expect(page.get_by_text("setting it takes the scope operate")).to_be_visible()
    expect(page.get_by_role("button", name="Save")).to_have_count(0)
    expect(page.get_by_role("button", name="Turn")).to_have_count(0)


def drift_today(product: Product, project: str, model: str = "plans_v1") -> None:
    """A model with a baseline of yesterday, whose labels are others today."""
    yesterday = datetime.now(UTC) - timedelta(days=1)
    where = {"project_id": project, "model_id": model, "endpoint": "predict"}
    with product.client() as client:
        client.projects.create(project, zone="UTC", name="Plans")
        send(product, 600, **where, timestamp=yesterday.isoformat(), features={"plan": "gold"})

        def is_closed() -> bool:
            rows = client.metrics_daily(day=yesterday.date(), **where)
            return [row.status for row in rows] == ["final"]

        wait_for(is_closed)
        client.baselines.capture(days=[yesterday.date()], **where)
        client.alert_policies.set(condition="drift", project_id=project, open_day=True)
    send(product, 600, **where, features={"plan": "silver"})


def test_an_alert_appears_and_ends_on_the_open_page_by_itself(page: Page, product: Product) -> None:
    page.goto(f"{product.dashboard_url}?page=alerts&model=plans_v1")
    expect(page.get_by_text("No open alert")).to_be_visible()
    drift_today(product, "plans")
    row = page.locator("tr[data-alert]")
    expect(row).to_contain_text("1 feature in drift", timeout=WAIT_S * 1000)
    expect(row).to_contain_text("provisional")
    expect(row).to_contain_text(re.compile(r"gold −100\.0|silver \+100\.0"))
    with product.client() as client:
        client.alert_policies.set(condition="drift", project_id="plans", enabled=False)
    expect(page.get_by_text("No open alert")).to_be_visible(timeout=WAIT_S * 1000)
    page.get_by_role("navigation", name="State").get_by_role("link", name="resolved").click()
    expect(row).to_contain_text("no policy looks at it any more")


def test_what_is_filtered_stands_in_the_address_and_the_back_button_undoes_it(
    page: Page, product: Product
) -> None:
    alert_of(product, "drift", "churn_model_v1")
    page.goto(f"{product.dashboard_url}?page=alerts")
    states = page.get_by_role("navigation", name="State")
    page.get_by_role("navigation", name="Project").get_by_role("link", name="North Bank").click()
    expect(page.locator("tr[data-alert]", has_text="churn_model_v1").first).to_be_visible()
    expect(page.locator("tr[data-alert]", has_text="Himal Pay")).to_have_count(0)
    assert "project=north-bank" in page.url
    states.get_by_role("link", name="resolved").click()
    expect(page.get_by_text("Nothing was resolved yet")).to_be_visible()
    assert "state=resolved&project=north-bank" in page.url
    page.go_back()
    expect(page.locator("tr[data-alert]", has_text="churn_model_v1").first).to_be_visible()
    page.go_back()
    expect(page.locator("tr[data-alert]", has_text="Himal Pay").first).to_be_visible()


def test_a_policy_is_tried_set_turned_off_and_forgotten(operator: Page, product: Product) -> None:
    errors = watched(operator)
    operator.goto(f"{product.dashboard_url}?page=policies")
    operator.get_by_role("link", name="latency").last.click()
    operator.select_option("[name=project_id]", "north-bank")
    operator.fill("[name=model_id]", "churn_model_v1")
    operator.fill("[name=threshold]", "1.01")
    operator.select_option("[name=percentile]", "0.99")
    operator.fill("[name=name]", "slow")
    operator.get_by_role("button", name="Try over the past").click()
    expect(operator.locator("[data-fact=tried]")).to_contain_text(
        re.compile(r"It would have fired \d+ times? in 30 days")
    )
    operator.fill("[name=channels]", "elsewhere")
    operator.get_by_role("button", name="Set it").click()
    expect(operator.locator("[data-fact=said]")).to_contain_text("no such channel is set up: elsewhere")
    operator.fill("[name=channels]", "desk")
    operator.get_by_role("button", name="Set it").click()
    expect(operator.locator("[data-fact=said]")).to_have_text("slow is saved, by the key “on-call”.")
    row = operator.locator("tr[data-policy=slow]")
    for part in ("north-bank · churn_model_v1", "1.01 ×", "p99 of a closed day", "desk", "on-call", "✓ on"):
        expect(row).to_contain_text(part)
    row.get_by_role("button", name="Turn slow").click()
    expect(row.locator("[data-fact=enabled]")).to_have_text("off")
    with product.client() as client:
        (stored,) = [one for one in client.alert_policies.list() if one.name == "slow"]
    assert (stored.threshold, stored.percentile, stored.channels) == (1.01, 0.99, ["desk"])
    assert (stored.enabled, stored.updated_by) == (False, "on-call")
    row.get_by_role("link").click()
    operator.get_by_role("button", name="Forget it").click()
    expect(operator.locator("[data-fact=said]")).to_contain_text("slow is forgotten there")
    expect(row).to_have_count(0)
    assert errors == []


def test_a_key_of_one_project_is_told_that_it_cannot_set_what_holds_everywhere(
    context: BrowserContext, product: Product
) -> None:
    with product.client() as client:
        secret = client.keys.create("bank", scopes=["read", "operate"], project_ids=["north-bank"]).key
    page = context.new_page()
    log_in(page, product.dashboard_url, secret)
    page.goto(f"{product.dashboard_url}?page=policies")
    page.get_by_role("button", name="Turn ledger, everywhere, off").click()
    expect(page.locator("[data-fact=said]")).to_contain_text("Your key “bank” may not do this.")
    expect(page.locator("[data-fact=said]")).to_contain_text("takes a key for every project")
    page.goto(f"{product.dashboard_url}?page=alerts")
    expect(page.locator("tr[data-alert]").first).to_be_visible()
    expect(page.get_by_text("Himal Pay")).to_have_count(0)


def test_conditions_have_the_values_that_the_product_has() -> None:
    assert set(CONDITIONS) == set(policies.CONDITIONS)
    for name, condition in policies.CONDITIONS.items():
        mine = CONDITIONS[name]
        assert bool(mine.threshold) == bool(condition.threshold), name
        assert mine.per_feature == condition.per_feature, name
        assert mine.per_project == condition.per_project, name
        assert ("open_day" in mine.values) == condition.may_look_at_open_day, name
