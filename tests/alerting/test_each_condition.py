"""Does each condition find what docs/alerts.md says, and nothing else, by its defaults?"""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from dashboards.live.address import place_of
from stream.alerting.wording import NAMED
from tests.alerting.world import World, at, days_from

MON, TUE, WED, THU = days_from("2025-03-03", 4)


async def test_predictions_in_drift_are_their_own_critical_alert_on_the_second_day(world: World) -> None:
    await world.closes(MON, {"@y_pred": "drift"})
    assert await world.alerts() == []
    await world.closes(TUE, {"@y_pred": "drift"})
    (alert,) = await world.alerts()
    assert (alert["policy"], alert["severity"]) == ("prediction", "critical")
    assert [feature["feature"] for feature in alert["details"]["features"]] == ["@y_pred"]
    await world.closes(WED)
    assert (await world.alerts())[0]["state"] == "resolved"


@pytest.mark.parametrize(
    ("verdict", "policy", "severity"),
    [("type_changed", "type_change", "critical"), ("new_feature", "feature_set", "warning"),
     ("missing_feature", "feature_set", "warning")],
)  # fmt: skip
async def test_a_changed_type_and_a_changed_set_of_features_alert_on_one_day_and_end_on_the_next(
    world: World, verdict: str, policy: str, severity: str
) -> None:
    await world.closes(MON, {"plan": verdict})
    (alert,) = await world.alerts()
    assert (alert["policy"], alert["severity"], alert["state"]) == (policy, severity, "open")
    await world.closes(TUE)
    (alert,) = await world.alerts()
    assert (alert["state"], alert["resolution"]) == ("resolved", "2025-03-04 is within bounds")


@pytest.mark.parametrize("verdict", ["ok", "warning", "insufficient_data", "missing_baseline", "ignored"])
async def test_no_other_verdict_alerts(world: World, verdict: str) -> None:
    for day in (MON, TUE, WED):
        await world.closes(day, dict.fromkeys("abcdef", verdict))
    assert await world.alerts() == []


async def test_days_with_few_events_say_nothing_of_latency_and_missing_values(world: World) -> None:
    await world.baseline("age", n=990, missing=10)
    for day, value in zip((MON, TUE, WED), (90.0, 100.0, 110.0), strict=True):
        await world.closes(day, latency_n=1000, latency_p95_ms=value)
    await world.closes(THU, requests=99, latency_n=99, latency_p95_ms=900.0, missing={"age": 0.9})
    assert await world.alerts() == []


async def test_a_message_names_the_three_that_are_worst_and_counts_the_rest(world: World) -> None:
    names = "abcde"
    world.clock.now = world.calendar.days_on(MON)[0].end + timedelta(seconds=61)
    await world.result(MON, dict.fromkeys(names, "drift"), features_scored=30)
    for psi, name in enumerate("cebad", start=1):
        await world.connection.execute(
            "update ml_guard.feature_day set psi = $1 where feature = $2", psi / 10 + 0.25, name
        )
    await world.evaluate()
    (text,) = await world.texts()
    listed = [line.split(":")[0] for line in text.splitlines() if line.startswith("- ")]
    assert listed == ["- d", "- a", "- b", "- and 2 more"]
    assert len(listed) == NAMED + 1


async def test_two_models_of_one_day_are_two_messages(world: World) -> None:
    await world.policy("drift", project_id="shop", days=1)
    await world.closes(MON, {"age": "drift"})
    world.model = "fraud"
    await world.closes(MON, {"age": "drift"})
    first, second = await world.subjects()
    assert "churn/predict" in first
    assert "fraud/predict" in second


async def test_a_link_opens_the_page_of_the_worst_feature_on_its_day(world: World) -> None:
    await world.policy("drift", project_id="shop", days=1)
    await world.closes(MON, {"wéird & name": "drift"})
    (text,) = await world.texts()
    (link,) = [line for line in text.splitlines() if line.startswith("https://")]
    asked = {
        name: [value.encode() for value in values] for name, values in parse_qs(urlsplit(link).query).items()
    }
    place = place_of(asked)
    assert (place.page, place.project, place.model, place.endpoint) == ("feature", "shop", "churn", "predict")
    assert (place.feature, place.day, place.notice) == ("wéird & name", MON, "")


async def test_in_a_models_first_week_silence_is_measured_by_the_day_before(world: World) -> None:
    now = at("2025-03-20T15:00:00")
    for end in (now - timedelta(days=3), now - timedelta(days=1), now):
        await world.requests(end - timedelta(hours=1), end, 2)
    await world.time_goes_to(now + timedelta(minutes=29))
    assert await world.alerts() == []
    await world.requests(now - timedelta(days=1), now - timedelta(days=1) + timedelta(minutes=40), 2)
    await world.time_goes_to(now + timedelta(minutes=33))
    (alert,) = await world.alerts()
    assert alert["headline"] == "no request for 30 minutes, 60 in the same minutes the day before"
    assert "yesterday instead of last week" in alert["details"]["note"]
    assert "the same minutes the day before" in (await world.texts())[0]
