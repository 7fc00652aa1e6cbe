"""Which synthetic projects are there, what do their models see, and which drift is planted in them?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from ml_guard.replay.values import Flag, Labels, LogNormal, Normal, Sampler, Share, Tied, Whole, Zipf


@dataclass(frozen=True)
class Feature:
    """A feature of a model: how its values fall, and which share of events lacks it."""

    name: str
    sampler: Sampler
    missing: float = 0.0
    not_a_number: float = 0.0


@dataclass(frozen=True)
class Plant:
    """A change of known size in one feature on one day.

    `sampler` None means that the feature vanishes; a feature that the endpoint does not have appears. `psi` is
    what the PSI of endless traffic would be, where the verdict rests on one.
    """

    offset: int
    feature: str
    verdict: str
    says: str
    sampler: Sampler | None = None
    missing: float | None = None
    psi: float | None = None


@dataclass(frozen=True)
class Endpoint:
    """One way to call one model, with everything that its events carry."""

    model_id: str
    endpoint: str
    weight: float
    features: tuple[Feature, ...]
    y_pred: Sampler
    y_proba: Sampler | None = None
    latency: Sampler | None = None
    plants: tuple[Plant, ...] = ()


@dataclass(frozen=True)
class Project:
    """A project in its zone. `clock_days` are days of the past that were not 24 hours long there."""

    slug: str
    name: str
    zone: str
    endpoints: tuple[Endpoint, ...]
    clock_days: tuple[date, ...] = ()


_BALANCE = LogNormal(median=2_400.0, sigma=0.9, digits=2)
_COUNTRY = Labels(("CA", "US", "IN", "GB", "FR", "BR"), (52.0, 22.0, 10.0, 8.0, 5.0, 3.0))
_AGE = Whole(mean=44.0, sd=13.0, low=18, high=95)
_CHURN = Endpoint(
    "churn_model_v1",
    "predict",
    weight=0.30,
    features=(
        Feature("age", _AGE),
        Feature("balance", _BALANCE, missing=0.02),
        Feature("tenure_months", Tied((0, 12, 24, 36, 48, 60), (30.0, 25.0, 20.0, 12.0, 8.0, 5.0))),
        Feature("products", Tied((1, 2, 3, 4), (50.0, 30.0, 15.0, 5.0))),
        Feature("country", _COUNTRY, missing=0.01),
        Feature("premium", Flag(0.3)),
        Feature("credit_score", Normal(640.0, 85.0, digits=1), missing=0.05),
    ),
    y_pred=Tied((0, 1), (81.0, 19.0)),
    y_proba=Share(1.4, 4.5),
    latency=LogNormal(median=38.0, sigma=0.45),
    plants=(
        Plant(-1, "balance", "drift", "its logarithm's mean +0.8 sd", _BALANCE.moved(0.8), psi=0.593),
        Plant(
            -1,
            "country",
            "drift",
            "US -15, BR +15 points",
            _COUNTRY.reweighted(US=-15, BR=15),
            psi=0.433,
        ),
        Plant(0, "age", "drift", "mean +0.8 sd", _AGE.moved(0.8), psi=0.608),
    ),
)

_UTILISATION = Share(2.0, 3.0)
_CREDIT = Endpoint(
    "credit_limit_v2",
    "nightly",
    weight=0.10,
    features=(
        Feature("income", LogNormal(median=58_000.0, sigma=0.55, digits=0)),
        Feature("utilisation", _UTILISATION, missing=0.02),
        Feature("segment", Labels(("retail", "student", "private"), (70.0, 22.0, 8.0))),
        Feature("mortgage", Flag(0.41)),
    ),
    y_pred=LogNormal(median=7_500.0, sigma=0.6, digits=0),
    plants=(Plant(-1, "utilisation", "drift", "missing 2 % -> 30 %", _UTILISATION, missing=0.30, psi=0.853),),
)

_AMOUNT = LogNormal(median=1_150.0, sigma=1.1, digits=2)
_CHANNEL = Labels(("app", "web", "pos", "ussd"), (46.0, 27.0, 21.0, 6.0))
_FRAUD_AUTHORIZE = Endpoint(
    "fraud_v3",
    "authorize",
    weight=0.25,
    features=(
        Feature("amount", _AMOUNT, not_a_number=0.002),
        Feature("channel", _CHANNEL),
        Feature("merchant", Zipf("m", 80)),
        Feature("device_age_days", Whole(mean=210.0, sd=160.0, low=0, high=900), missing=0.03),
        Feature("velocity_1h", Tied((0, 1, 2, 3, 4, 5), (55.0, 25.0, 11.0, 5.0, 3.0, 1.0))),
        Feature("new_device", Flag(0.1)),
    ),
    y_pred=Flag(0.04),
    y_proba=Share(0.8, 9.0),
    latency=LogNormal(median=14.0, sigma=0.5),
    plants=(
        Plant(-1, "amount", "warning", "its logarithm's mean +0.42 sd", _AMOUNT.moved(0.42), psi=0.170),
        Plant(
            -1,
            "channel",
            "type_changed",
            "codes instead of text",
            Tied((1, 2, 3, 4), (46.0, 27.0, 21.0, 6.0)),
        ),
        Plant(-1, "device_age_days", "missing_feature", "vanished"),
        Plant(-1, "merchant_score", "new_feature", "appeared", Normal(0.5, 0.1)),
    ),
)

_NEW_DEVICE = Flag(0.12)
_FRAUD_SCORE = Endpoint(
    "fraud_v3",
    "score",
    weight=0.10,
    features=(
        Feature("amount", _AMOUNT),
        Feature("country", Labels(("NP", "IN", "CN", "AE"), (71.0, 18.0, 6.0, 5.0))),
        Feature("new_device", _NEW_DEVICE),
    ),
    y_pred=Normal(0.0, 1.0),
    y_proba=None,
    latency=LogNormal(median=9.0, sigma=0.35),
    plants=(Plant(-2, "new_device", "drift", "true 12 % -> 40 %", Flag(0.40), psi=0.445),),
)

_TEMPERATURE = Normal(18.5, 5.2, digits=2)
_LOAD_LATENCY = LogNormal(median=120.0, sigma=0.3)
_LOAD = Endpoint(
    "load_forecast",
    "predict",
    weight=0.15,
    features=(
        Feature("temperature", _TEMPERATURE, missing=0.01),
        Feature("humidity", Normal(64.0, 11.0, digits=1)),
        Feature("wind_ms", LogNormal(median=4.2, sigma=0.5)),
        Feature("tariff", Labels(("flat", "night", "solar"), (63.0, 25.0, 12.0))),
    ),
    y_pred=Normal(412.0, 60.0, digits=2),
    latency=_LOAD_LATENCY,
    plants=(
        Plant(-1, "temperature", "warning", "mean +0.42 sd", _TEMPERATURE.moved(0.42), psi=0.169),
        Plant(
            -1,
            "@latency_ms",
            "drift",
            "its logarithm's mean +0.8 sd",
            _LOAD_LATENCY.moved(0.8),
            psi=0.605,
        ),
    ),
)

_RISK = Labels(("low", "medium", "high"), (74.0, 19.0, 7.0))
_OUTAGE = Endpoint(
    "outage_risk",
    "predict",
    weight=0.10,
    features=(
        Feature("gust_ms", LogNormal(median=8.0, sigma=0.6)),
        Feature("line_age_years", Whole(mean=24.0, sd=11.0, low=0, high=60)),
        Feature("soil", Labels(("sand", "clay", "basalt", "peat"), (40.0, 30.0, 22.0, 8.0)), missing=0.04),
        Feature("coastal", Flag(0.55)),
    ),
    y_pred=_RISK,
    y_proba=Share(1.2, 6.0),
    latency=LogNormal(median=22.0, sigma=0.4),
    plants=(
        Plant(
            0,
            "@y_pred",
            "drift",
            "low -26, high +26 points",
            _RISK.reweighted(low=-26, high=26),
            psi=0.517,
        ),
    ),
)

PROJECTS = (
    Project(
        "north-bank",
        "North Bank",
        "America/Toronto",
        (_CHURN, _CREDIT),
        clock_days=(date(2025, 3, 9), date(2025, 11, 2)),
    ),
    Project("himal-pay", "Himal Pay", "Asia/Kathmandu", (_FRAUD_AUTHORIZE, _FRAUD_SCORE)),
    Project(
        "reef-grid",
        "Reef Grid",
        "Australia/Lord_Howe",
        (_LOAD, _OUTAGE),
        clock_days=(date(2025, 4, 6), date(2025, 10, 5)),
    ),
)
