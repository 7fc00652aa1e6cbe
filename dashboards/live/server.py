"""How are pages served? One Panel application at the root of the prefix; which page it is says the query string."""

from __future__ import annotations

from typing import Any

import panel as pn
from bokeh.io import curdoc
from bokeh.server.server import Server
from panel.template import Template

from dashboards.live.address import place_of
from dashboards.live.doors import COOKIE, VISITOR, Doors, Visitor, Visitors, plain_pages
from dashboards.live.headers import NONCE, guard
from dashboards.live.markup import CSS, HERE, SCRIPT
from dashboards.live.pages.alert import AlertPage
from dashboards.live.pages.alerts import AlertsPage
from dashboards.live.pages.baselines import BaselinesPage
from dashboards.live.pages.costs import CostsPage
from dashboards.live.pages.feature import FeaturePage
from dashboards.live.pages.health import HealthPage
from dashboards.live.pages.model import ModelPage
from dashboards.live.pages.overview import OverviewPage
from dashboards.live.pages.policies import PoliciesPage
from dashboards.live.settings import DashboardSettings
from dashboards.live.source import Source
from dashboards.live.theme import scheme_of
from dashboards.live.view import Page, View
from ml_guard.cli.wording import visible

PAGES: dict[str, type[Page]] = {
    "overview": OverviewPage,
    "model": ModelPage,
    "feature": FeaturePage,
    "baselines": BaselinesPage,
    "alerts": AlertsPage,
    "alert": AlertPage,
    "policies": PoliciesPage,
    "costs": CostsPage,
    "health": HealthPage,
}
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24'%3E%3Cpath fill='%232f5bd8' "
    "d='M12 2 4 5v6c0 5 3.4 9.2 8 11 4.6-1.8 8-6 8-11V5z'/%3E%3C/svg%3E"
)
UNUSED_SESSION_MS = 15_000
KEEP_ALIVE_MS = 20_000
_TEMPLATE = (HERE / "templates" / "page.html").read_text(encoding="utf-8")


def make_server(settings: DashboardSettings) -> Server:
    """The server, not started. Its health is at `/health` below the prefix."""
    visitors = Visitors(settings.dashboard_session_hours * 3600)

    def open_page() -> Template:
        visitor = visitors.find(pn.state.headers.get(VISITOR))
        return shown(visitor, settings) if visitor else Template(_TEMPLATE)

    server: Server = pn.serve(
        {"/": open_page},
        port=settings.dashboard_port,
        address=settings.dashboard_host,
        prefix=settings.prefix,
        websocket_origin=settings.origins,
        auth_provider=Doors(visitors, settings),
        extra_patterns=plain_pages(visitors, settings),
        exclude_cookies=[COOKIE],
        exclude_headers=["Cookie"],
        unused_session_lifetime_milliseconds=UNUSED_SESSION_MS,
        keep_alive_milliseconds=KEEP_ALIVE_MS,
        show=False,
        start=False,
        verbose=False,
        admin=False,
        threaded=False,
    )
    server._tornado.add_transform(guard(settings.dashboard_frame_ancestors))
    return server


def shown(visitor: Visitor, settings: DashboardSettings) -> Template:
    """The page that the address names, for this visitor."""
    place = place_of(pn.state.session_args)
    scheme = scheme_of(pn.state.cookies.get("ml_guard_scheme"))
    source = pn.state.as_cached(
        f"source-{visitor.key.key_id}-{hash(visitor.secret)}", lambda: Source(settings.url, visitor.secret)
    )
    page = PAGES[place.page](source, visitor, place, scheme)
    view = View(page)
    view.open()
    curdoc().title = _title(page)
    made = Template(_TEMPLATE)
    for name, part in (("bar", view.bar), ("trouble", view.trouble), ("body", view.body)):
        made.add_panel(name, part)
    values: dict[str, Any] = {"css": CSS, "script": SCRIPT, "scheme": scheme.name, "page": place.page}
    values |= {"nonce": pn.state.headers[NONCE]}
    values |= {"app_favicon": ICON, "apple_icon": ICON, "manifest_url": ""}
    for name, value in values.items():
        made.add_variable(name, value)
    return made


def _title(page: Page) -> str:
    place = page.place
    what = [place.feature, place.model] if place.page == "feature" else [place.model]
    named = [one for one in what if one and place.page in ("model", "feature")]
    return visible(" · ".join([*named, page.title, "ML Guard"]))
