"""Which channels do the settings make?"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import SecretStr

from stream.alerting.channels.base import Channel, ChannelSettingError
from stream.alerting.channels.mail import Mail, MailServer
from stream.alerting.channels.web import Slack, Webhook
from stream.settings import Settings

_KINDS = {"slack": set[str](), "email": set[str](), "webhook": {"secret"}}


def channel_names(settings: Settings) -> frozenset[str]:
    """The names of the channels, without making them."""
    return frozenset(_described(settings))


def channels(settings: Settings) -> dict[str, Channel]:
    """Every channel by its name. Raises `ChannelSettingError`, never with a secret in it."""
    return {name: _channel(name, parts, settings) for name, parts in _described(settings).items()}


def _described(settings: Settings) -> dict[str, Mapping[str, SecretStr]]:
    found: dict[str, Mapping[str, SecretStr]] = {}
    if settings.alert_slack_url is not None:
        found["slack"] = {"slack": settings.alert_slack_url}
    if settings.alert_email_to is not None:
        found["email"] = {"email": SecretStr(settings.alert_email_to)}
    if settings.alert_webhook_url is not None:
        parts = {"webhook": settings.alert_webhook_url}
        if settings.alert_webhook_secret is not None:
            parts["secret"] = settings.alert_webhook_secret
        found["webhook"] = parts
    return found | settings.alert_channels


def _channel(name: str, parts: Mapping[str, SecretStr], settings: Settings) -> Channel:
    kinds = [kind for kind in _KINDS if kind in parts]
    if len(kinds) != 1 or set(parts) - {kinds[0]} - _KINDS[kinds[0]]:
        raise ChannelSettingError(
            f"the channel {name!r} of alerts needs one of slack, email and webhook (with secret), "
            f"and has {', '.join(sorted(parts)) or 'nothing'}"
        )
    value = parts[kinds[0]].get_secret_value()
    if kinds[0] == "slack":
        return Slack(value)
    if kinds[0] == "webhook":
        if "secret" not in parts:
            raise ChannelSettingError(
                f"the channel {name!r} of alerts has no secret to sign its messages with"
            )
        return Webhook(value, parts["secret"].get_secret_value())
    if settings.smtp_host is None:
        raise ChannelSettingError(f"the channel {name!r} of alerts sends e-mail: set ML_GUARD_SMTP_HOST")
    password = settings.smtp_password
    server = MailServer(
        settings.smtp_host,
        settings.smtp_port,
        settings.smtp_tls,
        settings.smtp_ca_file,
        settings.smtp_user,
        None if password is None else password.get_secret_value(),
    )
    addresses = tuple(address.strip() for address in value.split(",") if address.strip())
    return Mail(server, settings.alert_email_from, addresses)
