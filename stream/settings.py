"""Which settings does ML Guard read, and what are their defaults?"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from ml_guard.service_logs import LogFormat
from ml_guard.service_settings import ServiceSettings
from stream.sketches import LABELS_EXACT, LABELS_LEAST, LABELS_MOST

DEMO_KEY = "demo-key"
DEMO_PASSWORD = "ml_guard"  # noqa: S105  the demo's, refused in production


class Settings(ServiceSettings):
    """Every setting is an environment variable `ML_GUARD_<NAME>`; docs/settings.md is generated from this class."""

    env: Literal["demo", "production"] = Field(
        "demo", description="`production` makes every service refuse to start on a demo credential."
    )
    log_format: LogFormat = Field(
        "console", description="`json`: every line of a service's log is a JSON object."
    )
    kafka: str = Field("127.0.0.1:9092", description="Kafka's bootstrap servers, separated by commas.")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT",
        description="How they are spoken to: encrypted with `SSL`, with a user with `SASL` (docs/security.md).",
    )
    kafka_ca_file: str | None = Field(
        None, description="Certificates to trust instead of the system's, as a PEM file."
    )
    kafka_cert_file: str | None = Field(
        None, description="The certificate to show, as a PEM file, where the brokers ask for one."
    )
    kafka_key_file: str | None = Field(None, description="Its private key, where that is a file of its own.")
    kafka_key_password: SecretStr | None = Field(None, description="What the key is encrypted with.")
    kafka_sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] | None = Field(
        None, description="How the user logs in; if not set `SCRAM-SHA-512`."
    )
    kafka_user: str | None = Field(None, description="The user that logs in with `SASL`.")
    kafka_password: SecretStr | None = Field(None, description="The user's password.")
    database_url: str = Field(
        f"postgresql://ml_guard:{DEMO_PASSWORD}@127.0.0.1:5433/ml_guard", description="TimescaleDB."
    )
    topic: str = Field("ml_guard.events", description="The topic that events are read from.")
    dead_topic: str = Field("ml_guard.events.dead", description="The topic that dead letters are sent to.")
    partitions: int = Field(4, ge=1, description="Partitions of the event topic, when it is created.")
    group: str = Field("ml_guard", description="The workers' consumer group.")

    api_host: str = Field("127.0.0.1", description="The address that the API listens on.")
    api_port: int = Field(8000, description="The port that the API listens on.")
    demo_key: str | None = Field(None, description="An API key for every project, for demos only.")

    grace_s: float = Field(60.0, ge=0, description="How long after its end a day waits for its last events.")
    settle_s: float = Field(
        5.0, ge=0, description="How long a past day must be quiet before late events restate it."
    )
    settle_longest_s: float = Field(
        300.0, ge=0, description="The longest that a restatement waits for quiet."
    )
    blocked_s: float = Field(
        3600.0,
        ge=0,
        description="How long a stopped partition may hold a day back before it closes incomplete.",
    )
    future_s: float = Field(
        86_400.0,
        ge=0,
        description="How far in the future an event's timestamp may lie; beyond is a dead letter.",
    )
    retention_days: int | None = Field(
        None, ge=1, description="Events and state older than this are not kept; none keeps everything."
    )

    hours_days: int = Field(
        35, ge=1, description="Days for which it is kept what each day had come to at its full hours."
    )

    checkpoint_s: float = Field(
        0.25, gt=0, description="The shortest time between two checkpoints of a partition."
    )
    state_bytes: int = Field(
        512 * 1024 * 1024,
        ge=1024 * 1024,
        description="Memory that a worker's state may take before the least used leaves.",
    )
    session_timeout_s: float = Field(
        10.0, gt=0, description="After this silence a worker's partitions go to others."
    )

    max_models: int = Field(1_000, ge=1, description="Models and endpoints that a project may have.")
    max_features: int = Field(500, ge=1, description="Features that an event may have.")
    max_model_features: int = Field(
        2_000, ge=1, description="Distinct features that a model's endpoint may have a day."
    )
    max_labels: int = Field(
        LABELS_EXACT,
        ge=LABELS_LEAST,
        le=LABELS_MOST,
        description="Distinct labels of a feature and day that a partition counts exactly, at least; beyond it those that "
        "come often are kept, with bounds (docs/event.md).",
    )
    max_record_bytes: int = Field(1_048_576, ge=1024, description="The largest event that is read.")
    max_body_bytes: int = Field(8_388_608, ge=1024, description="The largest request body of the bridge.")
    bridge_buffer_bytes: int = Field(
        67_108_864, ge=1_048_576, description="Bytes that the bridge holds at most; beyond it answers 503."
    )
    bridge_project_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="The part of it that one project may have; beyond it its requests get 503.",
    )
    bridge_ack_s: float = Field(
        10.0, gt=0, description="How long the bridge waits for Kafka's acknowledgement before it answers 503."
    )
    key_events_per_s: float = Field(
        50_000.0, gt=0, description="Events a second that one key may send; beyond it the bridge answers 429."
    )
    key_requests_per_s: float = Field(
        500.0,
        gt=0,
        description="Requests a second that one key may make, those of events counted only where they are refused; "
        "beyond it the API answers 429.",
    )
    wrong_keys_per_s: float = Field(
        10.0,
        gt=0,
        description="Wrong keys a second that one address may try; beyond it, keys not known to be good are not looked "
        "up and get 429.",
    )
    api_connections: int = Field(
        3,
        ge=2,
        description="Connections to the database of one API process; one key's requests may have all but one.",
    )
    api_statement_s: float = Field(
        20.0,
        gt=0,
        description="The longest that a question may keep the database; beyond it the API answers 503.",
    )
    worker_metrics_host: str = Field(
        "127.0.0.1", description="The address that a worker's `/metrics` listens on."
    )
    worker_metrics_port: int = Field(
        9464,
        ge=0,
        le=65535,
        description="Its port; further workers of a machine take the next free ones. 0: no metrics of workers.",
    )
    metrics_models: int = Field(
        200, ge=0, description="Models that the API's `/metrics` shows at most, the worst first."
    )
    metrics_features: int = Field(
        500, ge=0, description="Features whose PSI the API's `/metrics` shows at most, the worst first."
    )
    ready_silence_s: float = Field(
        15.0, gt=0, description="A partition whose worker has been silent for longer makes the API not ready."
    )
    ready_lag: int = Field(
        1_000_000,
        ge=1,
        description="A partition that is further behind, in records, makes the API not ready.",
    )

    aws_ce_region: str | None = Field(
        None,
        validation_alias="AWS_CE_REGION",
        description="The region of AWS's Cost Explorer; else `AWS_DEFAULT_REGION`, else us-east-1 (docs/costs.md).",
    )
    label_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="The secret under which projects that say so have their category labels hashed (docs/privacy.md); the "
        "same for API and workers, kept for as long as their hashes are to stay comparable.",
    )
    grafana_password: SecretStr | None = Field(
        None,
        description="The password of the database login `ml_guard_grafana`, which `ml-guard migrate` makes for reading "
        "only; none makes no login.",
    )

    api_database_password: SecretStr | None = Field(
        None,
        description="The password of the database login `ml_guard_api`, which `ml-guard migrate` makes for the API; none "
        "makes no login.",
    )
    worker_database_password: SecretStr | None = Field(
        None, description="The same of the login `ml_guard_worker`, for workers."
    )

    public_url: str | None = Field(
        None,
        description="The address at which people open the dashboard: alerts and Grafana's boards link to it.",
    )
    alert_slack_url: SecretStr | None = Field(
        None, description="Slack's incoming webhook: the channel `slack` of alerts."
    )
    alert_webhook_url: SecretStr | None = Field(
        None, description="A receiver of signed JSON: the channel `webhook` of alerts."
    )
    alert_webhook_secret: SecretStr | None = Field(
        None, description="What its messages are signed with; `whsec_` and base64, or plain text."
    )
    alert_email_to: str | None = Field(
        None, description="Addresses, separated by commas: the channel `email` of alerts."
    )
    alert_email_from: str = Field("ml-guard@localhost", description="The sender of alerts by e-mail.")
    alert_channels: dict[str, dict[str, SecretStr]] = Field(
        {},
        description='More channels by name, as JSON: `{"risk": {"slack": URL}, "oncall": {"email": ADDRESSES}, '
        '"audit": {"webhook": URL, "secret": SECRET}}`.',
    )
    alert_days: float = Field(
        3.0,
        ge=0,
        description="Days that ended longer ago open no alert when they close: a backfill is quiet.",
    )
    alert_give_up_hours: float = Field(
        72.0, gt=0, description="How long an alert's message is tried again while its receiver is down."
    )
    alert_log_days: int = Field(
        90, ge=1, description="How long messages that were sent or given up stay in the delivery log."
    )
    smtp_host: str | None = Field(None, description="The server that sends alerts by e-mail.")
    smtp_port: int = Field(587, ge=1, le=65535, description="Its port.")
    smtp_tls: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="How its connection is encrypted: `tls` from the first byte, often port 465."
    )
    smtp_ca_file: str | None = Field(
        None, description="Certificates to trust instead of the system's, as a PEM file."
    )
    smtp_user: str | None = Field(None, description="The user that logs in there, if one does.")
    smtp_password: SecretStr | None = Field(None, description="The user's password.")
