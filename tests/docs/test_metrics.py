"""Do the series keep to Prometheus' conventions, and does docs/metrics.md name them all and nothing else?"""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric

from api.measures import Measures
from api.model_series import model_families
from docs.generate import DOCS
from stream.measures import WorkerMeasures

PAGE = (DOCS / "metrics.md").read_text(encoding="utf-8")
UNITS = ("seconds", "bytes", "records", "events")


def families(registry: CollectorRegistry) -> Iterable[Metric]:
    return [
        family
        for collector in registry._collector_to_names
        if isinstance(collector, MetricWrapperBase)
        for family in collector.describe()
    ]


ALL = [
    *families(WorkerMeasures().registry),
    *families(Measures().registry),
    *model_families([], [], {}),
]


@pytest.mark.parametrize("family", ALL, ids=lambda family: family.name)
def test_names_and_helps_keep_to_the_conventions(family: Metric) -> None:
    assert re.fullmatch(r"ml_guard_[a-z][a-z0-9_]*", family.name)
    assert family.documentation.endswith(".")
    assert family.documentation[0].isupper() or family.documentation[0].isdigit()
    assert not re.search(r"_(total|count|sum|bucket|milliseconds|ms|minutes|kb|mb)$", family.name)
    assert family.type in ("counter", "gauge", "histogram")
    if family.type == "histogram":
        assert family.name.endswith("_seconds")


def test_no_two_series_have_the_same_name() -> None:
    names = [family.name for family in ALL]
    assert sorted(set(names)) == sorted(names)


def test_the_page_names_every_series_and_nothing_else() -> None:
    exposed = {f"{family.name}_total" if family.type == "counter" else family.name for family in ALL}
    assert set(re.findall(r"^\| `(ml_guard_\w+)` \|", PAGE, re.MULTILINE)) == exposed


def test_the_examples_are_yaml_and_ask_for_series_that_exist() -> None:
    scrape, rules = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
    assert [job["job_name"] for job in scrape["scrape_configs"]] == ["ml-guard-workers", "ml-guard-api"]
    exposed = {f"{family.name}_total" if family.type == "counter" else family.name for family in ALL}
    asked = set(re.findall(r"ml_guard_\w+", " ".join(rule["expr"] for rule in rules["groups"][0]["rules"])))
    assert asked
    assert asked <= exposed
