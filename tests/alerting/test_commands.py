"""Do the commands of `ml-guard alerts` ask for the right thing, and print what comes?"""

from __future__ import annotations

from tests.cli.conftest import FakeApi, Type, api, typed

__all__ = ["api", "typed"]

ALERT = {
    "alert_id": "4f0c", "project_id": "shop", "model_id": "churn", "endpoint": "predict", "policy": "drift",
    "condition": "drift", "severity": "warning", "state": "open", "headline": "1 feature in drift",
    "since": "2025-03-03T05:00:00Z", "zone": "America/Toronto", "day": "2025-03-04", "revision": 1, "n": 1000,
    "opened_at": "2025-03-05T05:01:00Z",
    "features": [{"feature": "age", "kind": "numeric", "measure": "PSI", "value": 0.31, "n": 990, "days": 2,
                  "moved": "> 50 +6.6 points"}],
}  # fmt: skip
POLICY = {
    "name": "drift", "condition": "drift", "project_id": "shop", "model_id": "*", "endpoint": "*", "feature": "*",
    "threshold": 0.1, "days": 1, "severity": "warning", "cooldown_minutes": 60,
}  # fmt: skip


def test_alerts_are_listed_and_shown(api: FakeApi, typed: Type) -> None:
    api.give_list("/alerts", ALERT)
    api.give("GET", "/alerts/4f0c", ALERT)
    assert "1 feature in drift" in typed("alerts", "list", "--state", "open").out
    assert api.asked[-1][2]["state"] == ["open"]
    shown = typed("alerts", "show", "4f0c").out
    assert "> 50 +6.6 points" in shown
    assert "Day 2025-03-04, final, revision 1, 1,000 events." in shown
    assert typed("alerts", "show", "4f0c", "--json").json["features"][0]["value"] == 0.31


def test_an_alert_is_taken_on_and_muted(api: FakeApi, typed: Type) -> None:
    api.give("POST", "/alerts/4f0c/acknowledge", ALERT | {"state": "acknowledged", "acknowledged_by": "ann"})
    api.give("POST", "/alerts/4f0c/mute", ALERT | {"muted_until": "2025-03-06T00:00:00Z", "muted_by": "ann"})
    assert "Acknowledged by ann." in typed("alerts", "ack", "4f0c").out
    assert (
        "Muted until 2025-03-06 00:00:00Z by ann." in typed("alerts", "mute", "4f0c", "--minutes", "90").out
    )
    assert api.asked[-1][3] == {"minutes": 90}


def test_messages_are_shown_with_what_went_wrong(api: FakeApi, typed: Type) -> None:
    message = {
        "message_id": "a1", "channel": "slack", "project_id": "shop", "model_id": "churn", "endpoint": "predict",
        "alert_ids": ["4f0c"], "subject": "x", "status": "pending", "attempts": 3, "last_error": "answered 500",
        "created_at": "2025-03-05T05:01:00Z", "next_attempt_at": "2025-03-05T05:02:00Z",
    }  # fmt: skip
    api.give_list("/alerts/4f0c/deliveries", message)
    assert "answered 500" in typed("alerts", "deliveries", "4f0c").out


def test_a_policy_is_set_tried_listed_and_unset(api: FakeApi, typed: Type) -> None:
    api.give("PUT", "/alert-policies", POLICY)
    api.give_list("/alert-policies", POLICY, POLICY | {"project_id": "*", "is_default": True})
    api.give("DELETE", "/alert-policies", None, 204)
    young = {"project_id": "shop", "model_id": "new", "endpoint": "predict", "reason": "too young"}
    tried = {"summary": "would have fired 3 times in 30 days", "fired": 3, "past_days": 30, "models": 2,
             "not_judged": [young]}  # fmt: skip
    api.give("POST", "/alert-policies/try", tried)
    typed("alerts", "set", "drift", "--project", "shop", "--days", "1", "--channel", "slack", "--off")
    assert api.asked[-1][3] == {
        "condition": "drift", "project_id": "shop", "model_id": "*", "endpoint": "*", "feature": "*", "days": 1,
        "channels": ["slack"], "enabled": False,
    }  # fmt: skip
    told = typed("alerts", "try", "drift", "--project", "shop", "--past-days", "30").out
    assert "It would have fired 3 times in 30 days, on 2 models." in told
    assert "Cannot judge shop new/predict: too young." in told
    assert "default" in typed("alerts", "policies").out
    assert typed("alerts", "unset", "drift", "--project", "shop").code == 0
    assert api.asked[-1][2]["project_id"] == ["shop"]
