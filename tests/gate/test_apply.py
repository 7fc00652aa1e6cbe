"""Is a project as its file says, after one `apply`, and is a second one nothing? Wrong files are refused by the line."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from ml_guard import MLGuardClient
from ml_guard.cli.app import run
from tests.api.conftest import DEMO, Door

GUARD = """\
project: {project}
zone: America/Toronto
labels: hashed
features:
  - {{feature: customer_number, ignore: true}}
  - model: churn_v1
    feature: age
    bins: 20
    warning: 0.15
    drift: 0.3
policies:
  - {{condition: drift, model: churn_v1, days: 2, cooldown_minutes: 120}}
"""


def test_a_file_is_shown_applied_and_then_already_so(
    door: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = f"p-{uuid.uuid4().hex[:8]}"
    file = tmp_path / "guard.yaml"
    file.write_text(GUARD.format(project=project))

    def typed(*words: str) -> Any:
        code = run(["--url", door.address, "--api-key", DEMO, "apply", str(file), "--json", *words])
        assert code == 0
        return json.loads(capsys.readouterr().out)

    with MLGuardClient(door.address, DEMO) as client:
        seen = typed("--dry-run")
        assert seen["dry_run"]
        assert project not in {one.project_id for one in client.projects.list()}
        made = typed()
        assert made["changes"] == seen["changes"]
        assert [(one["line"], one["field"], one["wanted"]) for one in made["changes"]] == [
            (2, "zone", "America/Toronto"),
            (3, "labels", "hashed"),
            (5, "ignored", True),
            (8, "bins", 20),
            (9, "warning", 0.15),
            (10, "drift", 0.3),
            (12, "condition", "drift"),
            (12, "days", 2),
            (12, "cooldown_minutes", 120),
        ]
        assert client.projects.get(project).zone == "America/Toronto"
        assert client.projects.get(project).labels == "hashed"
        settings = {one.feature: one for one in client.feature_settings.list(project_id=project)}
        assert settings["customer_number"].ignored
        assert (settings["age"].model_id, settings["age"].bins, settings["age"].drift) == (
            "churn_v1",
            20,
            0.3,
        )
        (policy,) = [
            one for one in client.alert_policies.list(project_id=project) if one.project_id == project
        ]
        assert (policy.condition, policy.model_id, policy.days, policy.cooldown_minutes) == (
            "drift",
            "churn_v1",
            2,
            120,
        )
        assert typed()["changes"] == []

        file.write_text(
            GUARD.format(project=project).replace("    bins: 20\n", "").replace("Toronto", "Halifax")
        )
        changed = [(one["field"], one["now"], one["wanted"]) for one in typed()["changes"]]
        assert changed == [("zone", "America/Toronto", "America/Halifax"), ("bins", 20, None)]
        assert typed()["changes"] == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("zone: UTC\n", "line 1: `project` is missing"),
        ("project: shop\nzones: UTC\n", "line 2: `zones` is not known"),
        ("project: shop\nlabels: secret\n", "line 2: `labels` must be plain or hashed"),
        ("project: shop\nfeatures:\n  - feature: age\n    bin: 3\n", "line 4: `bin` is not known"),
        ("project: shop\nfeatures:\n  - feature: age\n    bins: many\n", "line 4: `bins` must be a whole number"),
        ("project: shop\nfeatures:\n  - feature: age\n    bins: true\n", "line 4: `bins` must be a whole number"),
        ("project: shop\nfeatures:\n  - feature: age\n", "line 3: nothing is set"),
        ("project: shop\nfeatures: age\n", "line 2: `features` must be a list"),
        ("project: shop\nfeatures: [age]\n", "line 2: keys and values are wanted"),
        ("project: shop\npolicies:\n  - {days: 2}\n", "line 3: `condition` is missing"),
        ("project: shop\nproject: other\n", "line 2: `project` is named twice"),
        ("project: shop\nfeatures:\n  - {bins: 3}\n  - {bins: 4}\n", "line 4: the same place is set twice"),
        ("project: [shop\n", "line 2: "),
        ("", "line 1: keys and values are wanted"),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong_is_refused_by_its_line_before_anything_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    file = tmp_path / "guard.yaml"
    file.write_text(text)
    assert run(["--url", "http://127.0.0.1:9", "apply", str(file)]) == 2
    assert says in " ".join(capsys.readouterr().err.split())


def test_what_the_server_refuses_names_the_line(
    door: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "guard.yaml"
    file.write_text(f"project: {door.project()}\nfeatures:\n  - feature: age\n    bins: 1\n")
    assert run(["--url", door.address, "--api-key", DEMO, "apply", str(file)]) == 4
    assert "line 4: " in " ".join(capsys.readouterr().err.split())
