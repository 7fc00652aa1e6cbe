"""Which settings does the dashboard read, and what are their defaults?"""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from dashboards.live.guesses import networks
from ml_guard.service_logs import LogFormat
from ml_guard.service_settings import ServiceSettings


def _proxies(text: str) -> str:
    networks(text)
    return text


class DashboardSettings(ServiceSettings):
    """Environment variables `ML_GUARD_<NAME>`; docs/settings.md is generated from this class too."""

    env: Literal["demo", "production"] = Field("demo", description="In a demo the log-in page tells the key.")
    demo_key: str | None = Field(None, description="The demo's API key, told on the log-in page.")
    url: str = Field("http://127.0.0.1:8000", description="Where the dashboard finds the API.")
    dashboard_host: str = Field("127.0.0.1", description="The address that the dashboard listens on.")
    dashboard_port: int = Field(
        8501, ge=1, le=65535, description="The port that the dashboard listens on; if the embedded stack finds "
        "it taken, a free one is used.",
    )  # fmt: skip
    dashboard_prefix: str = Field(
        "", description="The path below which a reverse proxy publishes the dashboard, such as `/ml-guard`."
    )
    public_url: str | None = Field(
        None, description="The address at which people open the dashboard, behind a reverse proxy."
    )
    dashboard_frame_ancestors: str = Field(
        "",
        pattern=r"^[^;,\r\n]*$",
        description="Origins that may show the dashboard in a frame, separated by spaces, such as "
        "`https://intranet.example.com`; none by default. They have to be of the dashboard's own site.",
    )
    dashboard_proxies: Annotated[str, AfterValidator(_proxies)] = Field(
        "",
        description="Addresses or networks of reverse proxies, separated by commas, such as `127.0.0.1`, whose "
        "X-Forwarded-For says who tries keys at the log-in; nobody's is believed by default.",
    )
    log_format: LogFormat = Field(
        "console", description="`json`: every line of a service's log is a JSON object."
    )
    dashboard_session_hours: float = Field(12.0, gt=0, description="How long a log-in lasts without a visit.")

    @property
    def prefix(self) -> str:
        """With one slash at its begin and none at its end, or empty."""
        bare = self.dashboard_prefix.strip("/")
        return f"/{bare}" if bare else ""

    @property
    def origins(self) -> list[str]:
        """Hosts from which a page may open its websocket."""
        names = ["127.0.0.1", "localhost"]
        if self.dashboard_host not in ("0.0.0.0", "::", *names):  # noqa: S104
            names.append(self.dashboard_host)
        hosts = [f"{name}:{self.dashboard_port}" for name in names]
        if self.public_url:
            public = urlsplit(self.public_url)
            hosts.append(public.netloc if public.port else f"{public.netloc}:{_PORTS.get(public.scheme, 80)}")
        return hosts

    @property
    def is_secure(self) -> bool:
        """Whether people open it over TLS: the cookie is for TLS only then."""
        return (self.public_url or "").startswith("https://")

    @property
    def hint(self) -> str | None:
        """The demo's key, where this is a demo."""
        return self.demo_key if self.env == "demo" else None


_PORTS = {"http": 80, "https": 443}
