"""What does the API offer, and of what is it made? `create_app(settings)`; each resource is a file beside this one."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from api import (
    alert_policies,
    alerts,
    baselines,
    client_counts,
    compare,
    costs,
    dead_letters,
    docs_page,
    drift,
    events,
    feature_settings,
    features,
    health,
    keys,
    latency,
    ledger,
    live,
    metrics,
    models,
    projects,
    prometheus,
    purge,
    ready,
    reference,
    same_hours,
)
from api.middleware import Outermost
from api.openapi import describe
from api.problems import install
from api.services import Services
from stream.production import refuse_demo_credentials
from stream.settings import Settings

log = logging.getLogger(__name__)

PREFIX = "/api/v1"
RESOURCES = (
    events,  # first: routes are tried in this order
    health,
    ready,
    projects,
    keys,
    models,
    baselines,
    reference,
    feature_settings,
    metrics,
    features,
    drift,
    same_hours,
    compare,
    latency,
    ledger,
    client_counts,
    dead_letters,
    purge,
    alerts,
    alert_policies,
    costs,
    live,
)


def create_app(settings: Settings) -> FastAPI:
    """The API as an ASGI app.

    Raises:
        DemoCredentialError: a demo credential in production.
        ConfigError: the settings of Kafka contradict one another.
    """
    refuse_demo_credentials(settings)
    services = Services.of(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if settings.demo_key:
            log.warning(
                "DEMO: the key of ML_GUARD_DEMO_KEY opens every project. Not for production; "
                "ML_GUARD_ENV=production refuses it."
            )
        await services.open()
        try:
            yield
        finally:
            await services.close()

    app = FastAPI(
        title="ML Guard",
        version="0.1.0",
        summary="Monitoring for ML inference: from an event to a drift verdict.",
        lifespan=lifespan,
        generate_unique_id_function=lambda route: route.name,
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # `docs_page` has a policy of its own
        redoc_url=None,
    )
    app.state.services = services
    app.state.scrapes = prometheus.Scrapes()
    for resource in RESOURCES:
        app.include_router(resource.router, prefix=PREFIX)
    app.include_router(prometheus.router)
    app.include_router(docs_page.router)
    install(app)
    describe(app)
    app.add_middleware(Outermost, measures=services.measures)
    return app
