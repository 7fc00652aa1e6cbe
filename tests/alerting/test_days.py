"""Which results of days open an alert, and what becomes of it?"""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from tests.alerting.world import World, days_from

MON, TUE, WED, THU = days_from("2025-03-03", 4)


async def test_one_feature_in_drift_alerts_on_its_second_closed_day(world: World) -> None:
    await world.closes(MON, {"age": "drift"})
    assert await world.alerts() == []
    await world.closes(TUE, {"age": "drift"})
    (alert,) = await world.alerts()
    assert (alert["policy"], alert["state"], alert["day"], alert["revision"]) == ("drift", "open", TUE, 1)
    (text,) = await world.texts()
    lines = text.splitlines()
    assert lines[0] == (
        "[warning] shop · production · churn/predict: 1 feature in drift since Mon 3 Mar 2025 00:00 (America/Toronto)"
    )
    assert lines[1] == "Day 2025-03-04, final, revision 1, 1,000 events, baseline version 1."
    assert lines[2] == (
        "- age: PSI 0.3 (0.005 expected without drift), q < 1e-6, n 990, 2 days in a row: US -6.8, CA +6.6 points"
    )
    assert lines[3] == (
        "https://guard.example/ml/?page=feature&project=shop&model=churn&endpoint=predict&feature=age&day=2025-03-04"
    )


async def test_a_tenth_of_the_features_alerts_on_the_first_closed_day_and_names_three(world: World) -> None:
    await world.closes(MON, dict.fromkeys(("a", "b"), "drift"), features_scored=30)
    assert await world.alerts() == []
    await world.closes(TUE, dict.fromkeys("cdefg", "drift"), features_scored=30)
    (alert,) = await world.alerts()
    assert alert["headline"] == "5 features in drift"
    (text,) = await world.texts()
    assert [line for line in text.splitlines() if line.startswith("- ")][3] == "- and 2 more"


async def test_an_alert_is_updated_silently_and_resolved_with_a_notice(world: World) -> None:
    await world.closes(MON, {"age": "drift"})
    await world.closes(TUE, {"age": "drift"})
    await world.closes(WED, {"age": "drift", "income": "drift"})
    assert len(await world.subjects()) == 1
    (alert,) = await world.alerts()
    assert (alert["headline"], alert["day"]) == ("2 features in drift", WED)
    await world.closes(THU)
    (alert,) = await world.alerts()
    assert (alert["state"], alert["resolution"]) == ("resolved", "2025-03-06 is within bounds")
    assert (await world.subjects())[1].startswith(
        "[warning] shop · production · churn/predict: Resolved: 2 features in drift since"
    )


async def test_a_revision_that_removes_the_cause_resolves_the_alert_and_says_so(world: World) -> None:
    await world.closes(MON, {"age": "drift"})
    await world.closes(TUE, {"age": "drift"})
    await world.closes(TUE, {}, revision=2)
    (alert,) = await world.alerts()
    assert alert["resolution"] == "revision 2 of 2025-03-04 has removed the cause"
    assert "It is over: revision 2 of 2025-03-04 has removed the cause." in (await world.texts())[1]


async def test_a_revision_of_the_first_of_two_days_removes_the_cause_too(world: World) -> None:
    await world.closes(MON, {"age": "drift"})
    await world.closes(TUE, {"age": "drift"})
    await world.closes(MON, {}, revision=2)
    (alert,) = await world.alerts()
    assert alert["resolution"] == "revision 2 of 2025-03-03 has removed the cause"


async def test_a_late_restatement_of_an_old_day_changes_nothing_about_now(world: World) -> None:
    await world.closes(MON, {"age": "drift"})
    await world.closes(TUE, {"age": "drift"})
    await world.closes(WED, {"age": "drift"})
    await world.closes(MON - timedelta(days=2), {}, revision=2)
    (alert,) = await world.alerts()
    assert (alert["state"], alert["day"]) == ("open", WED)


async def test_a_backfill_of_old_days_tells_nobody(world: World) -> None:
    for day in days_from("2025-02-10", 15):
        await world.closes(day, dict.fromkeys("abcdef", "drift"))
    assert (await world.alerts(), await world.subjects()) == ([], [])


async def test_the_open_day_alerts_only_where_a_policy_says_so_and_ends_with_the_final_result(
    world: World,
) -> None:
    await world.result(MON, {"age": "drift"}, revision=0)
    await world.evaluate()
    assert await world.alerts() == []
    await world.policy("drift", project_id="shop", open_day=True, threshold=0.1, days=2)
    await world.result(MON, {"age": "drift"}, revision=0)
    await world.evaluate()
    (alert,) = await world.alerts()
    assert alert["provisional"]
    assert "provisional (the day is open)" in (await world.texts())[0]
    await world.result(MON, {}, revision=0)  # an hour later it looks better: the day's end decides
    await world.evaluate()
    assert (await world.alerts())[0]["state"] == "open"
    await world.closes(MON)
    assert (await world.alerts())[0]["resolution"] == "the final result of 2025-03-03 is within bounds"


async def test_several_findings_of_one_day_are_one_message(world: World) -> None:
    await world.baseline("age", n=990, missing=10)
    await world.closes(
        MON, {"plan": "type_changed", "new": "new_feature", "old": "missing_feature"}, missing={"age": 0.4}
    )
    assert [alert["policy"] for alert in await world.alerts()] == [
        "feature_set",
        "missing_values",
        "type_change",
    ]
    (text,) = await world.texts()
    assert text.splitlines()[0] == (
        "[critical] shop · production · churn/predict: 1 feature of another type since "
        "Mon 3 Mar 2025 00:00 (America/Toronto) (and 2 more)"
    )
    assert "- old: in no event of the day" in text
    assert "- new: not in the baseline (categorical), n 990" in text


@pytest.mark.parametrize(("p95", "alerts"), [(199.0, 0), (201.0, 1)])
async def test_latency_is_compared_with_the_median_of_the_days_before(
    world: World, p95: float, alerts: int
) -> None:
    for day, value in zip(days_from("2025-03-03", 3), (90.0, 100.0, 400.0), strict=True):
        await world.closes(day, latency_n=1000, latency_p95_ms=value)
    assert await world.alerts() == []
    await world.closes(THU, latency_n=1000, latency_p95_ms=p95)
    assert [alert["policy"] for alert in await world.alerts()] == ["latency"] * alerts


async def test_missing_values_are_compared_with_the_baseline(world: World) -> None:
    await world.baseline("age", n=700, missing=300)
    await world.closes(MON, missing={"age": 0.39})
    assert await world.alerts() == []
    await world.closes(TUE, missing={"age": 0.41})
    (alert,) = await world.alerts()
    (feature,) = alert["details"]["features"]
    assert (feature["value"], feature["bound"], feature["expected"]) == (0.41, pytest.approx(0.4), 0.3)


async def test_a_feature_can_be_left_out_and_a_model_have_its_own_policy(world: World) -> None:
    await world.policy("drift", project_id="shop", model_id="churn", days=1, severity="critical")
    await world.policy("drift", project_id="shop", feature="age", enabled=False)
    await world.closes(MON, {"age": "drift"})
    assert await world.alerts() == []
    await world.closes(TUE, {"age": "drift", "income": "drift"})
    (alert,) = await world.alerts()
    assert (alert["severity"], [f["feature"] for f in alert["details"]["features"]]) == (
        "critical",
        ["income"],
    )


async def test_a_policy_that_is_turned_off_ends_its_alerts(world: World) -> None:
    await world.policy("drift", project_id="shop", days=1)
    await world.closes(MON, {"age": "drift"})
    await world.policy("drift", project_id="shop", days=1, enabled=False)
    await world.time_goes_to(world.clock.now + timedelta(minutes=2))
    (alert,) = await world.alerts()
    assert alert["resolution"] == "no policy looks at it any more"


async def test_days_that_closed_while_nobody_looked_are_judged_in_their_order(world: World) -> None:
    for day, verdicts in ((MON, {"age": "drift"}), (TUE, {"age": "drift"}), (WED, {})):
        await world.result(day, verdicts)
    world.clock.now += timedelta(days=3)
    await world.evaluate()
    (alert,) = await world.alerts()
    assert (alert["state"], alert["day"]) == ("resolved", date(2025, 3, 4))
    assert len(await world.subjects()) == 1


async def test_a_day_that_has_ended_and_not_yet_closed_is_left_to_its_close(world: World) -> None:
    await world.policy("drift", project_id="shop", open_day=True)
    world.clock.now += timedelta(days=1)
    await world.result(MON, {"age": "drift"}, revision=0)
    await world.evaluate()
    assert await world.alerts() == []


async def test_an_alert_of_the_open_day_outlives_the_close_of_the_day_before(world: World) -> None:
    await world.policy("drift", project_id="shop", open_day=True)
    world.clock.now = world.calendar.days_on(TUE)[0].start + timedelta(hours=1)
    await world.result(TUE, {"age": "drift"}, revision=0)
    await world.evaluate()
    await world.closes(MON)
    assert [alert["state"] for alert in await world.alerts()] == ["open"]


async def test_a_weekday_that_was_near_drift_a_week_before_is_a_repetition(world: World) -> None:
    weekend = {5: ("drift", "drift"), 6: ("warning", "drift")}
    for n, day in enumerate(days_from("2025-03-03", 14)):
        verdict = weekend.get(day.weekday(), ("ok", "ok"))[n // 7]
        await world.closes(day, {"spend": verdict})
    assert not await world.alerts()


async def test_a_drift_that_grew_slowly_is_no_repetition(world: World) -> None:
    for n, day in enumerate(days_from("2025-03-03", 10)):
        await world.closes(day, {"spend": "warning" if n < 8 else "drift"})
    (alert,) = await world.alerts()
    assert alert["day"] == days_from("2025-03-12", 1)[0]
