"""Which methods does a client have for the API? Each is one line that binds a function of `calls`."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec, TypeVar

from ml_guard import alert_calls, baseline_calls, calls, compare_calls, cost_calls
from ml_guard.call import Call, Listing
from ml_guard.late import LateAsyncConnection, LateConnection

P = ParamSpec("P")
T = TypeVar("T")


class Group:
    """Methods that share a connection."""

    def __init__(self, connection: LateConnection) -> None:
        self._connection = connection


class AsyncGroup:
    """Methods that share a connection, to be awaited."""

    def __init__(self, connection: LateAsyncConnection) -> None:
        self._connection = connection


def one(build: Callable[P, Call[T]]) -> Callable[Concatenate[Group, P], T]:
    """A method that makes the call which `build` describes."""

    @functools.wraps(build)
    def method(self: Group, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._connection.run(build(*args, **kwargs))

    return method


def rows(build: Callable[P, Listing[T]]) -> Callable[Concatenate[Group, P], list[T]]:
    """A method that fetches every page of the listing which `build` describes."""

    @functools.wraps(build)
    def method(self: Group, /, *args: P.args, **kwargs: P.kwargs) -> list[T]:
        return self._connection.rows(build(*args, **kwargs))

    return method


def async_one(build: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncGroup, P], Awaitable[T]]:
    """`one`, to be awaited."""

    @functools.wraps(build)
    async def method(self: AsyncGroup, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._connection.run(build(*args, **kwargs))

    return method


def async_rows(build: Callable[P, Listing[T]]) -> Callable[Concatenate[AsyncGroup, P], Awaitable[list[T]]]:
    """`rows`, to be awaited."""

    @functools.wraps(build)
    async def method(self: AsyncGroup, /, *args: P.args, **kwargs: P.kwargs) -> list[T]:
        return await self._connection.rows(build(*args, **kwargs))

    return method


class Projects(Group):
    """`client.projects`"""

    list = rows(calls.list_projects)
    create = one(calls.create_project)
    get = one(calls.get_project)
    update = one(calls.update_project)
    delete = one(calls.delete_project)


class AsyncProjects(AsyncGroup):
    """`client.projects`"""

    list = async_rows(calls.list_projects)
    create = async_one(calls.create_project)
    get = async_one(calls.get_project)
    update = async_one(calls.update_project)
    delete = async_one(calls.delete_project)


class Keys(Group):
    """`client.keys`"""

    list = rows(calls.list_keys)
    create = one(calls.create_key)
    current = one(calls.current_key)
    revoke = one(calls.revoke_key)


class AsyncKeys(AsyncGroup):
    """`client.keys`"""

    list = async_rows(calls.list_keys)
    create = async_one(calls.create_key)
    current = async_one(calls.current_key)
    revoke = async_one(calls.revoke_key)


class Baselines(Group):
    """`client.baselines`"""

    list = rows(baseline_calls.list_baselines)
    capture = one(baseline_calls.capture_baseline)
    preview = one(baseline_calls.preview_baseline)
    capture_by_weekday = one(baseline_calls.capture_baselines_by_weekday)
    preview_by_weekday = one(baseline_calls.preview_baselines_by_weekday)
    show = one(baseline_calls.show_baseline)
    activate = one(baseline_calls.activate_baseline)
    copy = one(compare_calls.copy_baseline)


class AsyncBaselines(AsyncGroup):
    """`client.baselines`"""

    list = async_rows(baseline_calls.list_baselines)
    capture = async_one(baseline_calls.capture_baseline)
    preview = async_one(baseline_calls.preview_baseline)
    capture_by_weekday = async_one(baseline_calls.capture_baselines_by_weekday)
    preview_by_weekday = async_one(baseline_calls.preview_baselines_by_weekday)
    show = async_one(baseline_calls.show_baseline)
    activate = async_one(baseline_calls.activate_baseline)
    copy = async_one(compare_calls.copy_baseline)


class FeatureSettings(Group):
    """`client.feature_settings`"""

    list = rows(calls.list_feature_settings)
    set = one(calls.set_feature)
    delete = one(calls.delete_feature_setting)


class AsyncFeatureSettings(AsyncGroup):
    """`client.feature_settings`"""

    list = async_rows(calls.list_feature_settings)
    set = async_one(calls.set_feature)
    delete = async_one(calls.delete_feature_setting)


class DeadLetters(Group):
    """`client.dead_letters`"""

    list = rows(calls.list_dead_letters)
    show = one(calls.show_dead_letter)
    replay = one(calls.replay_dead_letters)


class AsyncDeadLetters(AsyncGroup):
    """`client.dead_letters`"""

    list = async_rows(calls.list_dead_letters)
    show = async_one(calls.show_dead_letter)
    replay = async_one(calls.replay_dead_letters)


class Alerts(Group):
    """`client.alerts`"""

    list = rows(alert_calls.list_alerts)
    show = one(alert_calls.show_alert)
    acknowledge = one(alert_calls.acknowledge_alert)
    mute = one(alert_calls.mute_alert)
    deliveries = one(alert_calls.alert_deliveries)


class AsyncAlerts(AsyncGroup):
    """`client.alerts`"""

    list = async_rows(alert_calls.list_alerts)
    show = async_one(alert_calls.show_alert)
    acknowledge = async_one(alert_calls.acknowledge_alert)
    mute = async_one(alert_calls.mute_alert)
    deliveries = async_one(alert_calls.alert_deliveries)


class AlertPolicies(Group):
    """`client.alert_policies`"""

    list = rows(alert_calls.list_alert_policies)
    set = one(alert_calls.set_alert_policy)
    delete = one(alert_calls.delete_alert_policy)
    try_out = one(alert_calls.try_alert_policy)


class AsyncAlertPolicies(AsyncGroup):
    """`client.alert_policies`"""

    list = async_rows(alert_calls.list_alert_policies)
    set = async_one(alert_calls.set_alert_policy)
    delete = async_one(alert_calls.delete_alert_policy)
    try_out = async_one(alert_calls.try_alert_policy)


class Costs(Group):
    """`client.costs`"""

    pull = one(cost_calls.pull_costs)
    filter = one(cost_calls.cost_filter)
    set_filter = one(cost_calls.set_cost_filter)
    delete_filter = one(cost_calls.delete_cost_filter)


class AsyncCosts(AsyncGroup):
    """`client.costs`"""

    pull = async_one(cost_calls.pull_costs)
    filter = async_one(cost_calls.cost_filter)
    set_filter = async_one(cost_calls.set_cost_filter)
    delete_filter = async_one(cost_calls.delete_cost_filter)


class Api(Group):
    """The methods of a client itself."""

    health = one(calls.health)
    ready = one(calls.ready)
    models = rows(calls.list_models)
    metrics_daily = rows(calls.metrics_daily)
    features_daily = rows(calls.features_daily)
    drift_daily = rows(calls.drift_daily)
    costs_daily = rows(cost_calls.costs_daily)
    drift_same_hours = one(calls.drift_same_hours)
    drift_against = one(compare_calls.drift_against)
    compare = one(compare_calls.compare)
    latency = one(calls.latency)
    ledger = one(calls.ledger)
    ledger_days = rows(calls.ledger_days)
    client_counts = rows(calls.client_counts)
    purge_day = one(calls.purge_day)

    def __init__(self, connection: LateConnection) -> None:
        super().__init__(connection)
        self.projects = Projects(connection)
        self.keys = Keys(connection)
        self.baselines = Baselines(connection)
        self.feature_settings = FeatureSettings(connection)
        self.dead_letters = DeadLetters(connection)
        self.alerts = Alerts(connection)
        self.alert_policies = AlertPolicies(connection)
        self.costs = Costs(connection)


class AsyncApi(AsyncGroup):
    """The methods of an async client itself."""

    health = async_one(calls.health)
    ready = async_one(calls.ready)
    models = async_rows(calls.list_models)
    metrics_daily = async_rows(calls.metrics_daily)
    features_daily = async_rows(calls.features_daily)
    drift_daily = async_rows(calls.drift_daily)
    costs_daily = async_rows(cost_calls.costs_daily)
    drift_same_hours = async_one(calls.drift_same_hours)
    drift_against = async_one(compare_calls.drift_against)
    compare = async_one(compare_calls.compare)
    latency = async_one(calls.latency)
    ledger = async_one(calls.ledger)
    ledger_days = async_rows(calls.ledger_days)
    client_counts = async_rows(calls.client_counts)
    purge_day = async_one(calls.purge_day)

    def __init__(self, connection: LateAsyncConnection) -> None:
        super().__init__(connection)
        self.projects = AsyncProjects(connection)
        self.keys = AsyncKeys(connection)
        self.baselines = AsyncBaselines(connection)
        self.feature_settings = AsyncFeatureSettings(connection)
        self.dead_letters = AsyncDeadLetters(connection)
        self.alerts = AsyncAlerts(connection)
        self.alert_policies = AsyncAlertPolicies(connection)
        self.costs = AsyncCosts(connection)
