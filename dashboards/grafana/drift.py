"""The model board's rows about drift: which feature moved, and which of its bins?"""

from __future__ import annotations

from dashboards.grafana.kinds import CELL_COLOUR, OF_A_DAY, VERDICTS, chart, table
from dashboards.grafana.links import board_of_model, chosen, links, of_row, outside
from dashboards.grafana.parts import BLUE, GREEN, ORANGE, PSI_LEVELS, QUIET, RED, Panel, Row
from dashboards.grafana.queries import DAY, FEATURE, MODEL, SERIES

_WORST_FIRST = ", ".join(f"'{verdict}'" for verdict in OF_A_DAY)
_VERDICT_CODES = "\n".join(f"         when '{verdict}' then {code}" for code, verdict in enumerate(OF_A_DAY))
_BY_CODE = [{"type": "value", "options": {
    str(code): VERDICTS[0]["options"][verdict] for code, verdict in enumerate(OF_A_DAY)
}}]  # fmt: skip

# A feature that changed its type has a row for each kind: the one that most events have is shown.
_OF_FEATURE = f"where {FEATURE} and $__timeFilter(day_start)\norder by day_start, n desc"


def _verdicts() -> Panel:
    """A cell for each feature and day."""
    options = {
        "showValue": "never",
        "rowHeight": 0.9,
        "colWidth": 0.9,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    look = {"mappings": _BY_CODE, "custom": {"fillOpacity": 80, "lineWidth": 0}}
    return Panel(
        "status-history",
        "Verdict of every feature by day",
        "What each local day came to, for the features that moved most. A verdict needs the PSI and a test that agrees, "
        "corrected for the number of features; too few events say nothing.",
        f"""select day_start as time, feature as metric,
       case verdict
{_VERDICT_CODES}
       end as value
from ml_guard.daily_drift
where {MODEL} and $__timeFilter(day_start) and feature in (
    select feature from ml_guard.daily_drift
    where {MODEL} and $__timeFilter(day_start)
    group by feature order by max(psi) desc nulls last, feature limit {2 * SERIES}
)
order by time""",
        24,
        "none",
        look,
        options,
    )


def _bins() -> Panel:
    """The chosen feature's bins on the chosen day beside the baseline's."""
    options = {
        "xField": "bin",
        "orientation": "horizontal",
        "groupWidth": 0.7,
        "barWidth": 0.95,
        "showValue": "auto",
        "stacking": "none",
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "none"},
    }
    colours = {"baseline": BLUE, "this day": ORANGE}
    return Panel(
        "barchart",
        "Bins of $feature on $day",
        "Which share of the events falls into each of the baseline's frozen bins, then and on this day.",
        f"""select label as bin, baseline_share as baseline, share as "this day"
from ml_guard.daily_bins where {FEATURE} and day::text = '$day' order by bin_index""",
        12,
        "percentunit",
        {"custom": {"fillOpacity": 80, "lineWidth": 0}},
        options,
        {name: {"color": {"mode": "fixed", "fixedColor": colour}} for name, colour in colours.items()},
    )


_FEATURES = table(
    "Features on $day, the worst first",
    "E0 is the PSI that no drift would give with so many events; q is the test's p-value, corrected over the features of "
    "that day. A click on a feature shows it below, or opens its page in ML Guard.",
    f"""select feature, kind, verdict, psi, psi_expected as "E0", q_value as q, n, missing_rate as missing,
       baseline_version as baseline, method, day::text as day
from ml_guard.daily_drift
where {DAY}
order by array_position(array[{_WORST_FIRST}], verdict), psi desc nulls last, feature""",
    24,
    {
        "feature": {
            "links": links(
                Show_below=board_of_model(
                    chosen("project", "model", "endpoint", prefix="var-")
                    + of_row("feature", "day", prefix="var-")
                ),
                Open_in_ML_Guard=outside("feature")
                + chosen("project", "model", "endpoint")
                + of_row("feature", "day"),
            )
        },
        "verdict": {"mappings": VERDICTS, "custom.cellOptions": CELL_COLOUR},
        "psi": {"decimals": 4, "thresholds": PSI_LEVELS, "custom.cellOptions": CELL_COLOUR},
        "E0": {"decimals": 4},
        "q": {"unit": "sci", "decimals": 1},
        "n": {"unit": "short"},
        "missing": {"unit": "percentunit", "decimals": 1},
    },
)

_MOVED = table(
    "What moved in $feature on $day",
    "The bins by what they add to the PSI; the parts add up to it. Points are percentage points against the baseline.",
    f"""select label as bin, baseline_share as baseline, share as "this day", points, contribution
from ml_guard.daily_bins
where {FEATURE} and day::text = '$day'
order by contribution desc nulls last, bin_index""",
    12,
    {
        "baseline": {"unit": "percentunit", "decimals": 1},
        "this day": {"unit": "percentunit", "decimals": 1},
        "points": {"decimals": 1},
        "contribution": {"decimals": 4},
    },
)


ROWS = [
    Row(10, [_verdicts()], "Drift"),
    Row(10, [_FEATURES]),
    Row(10, [_bins(), _MOVED], "Feature $feature"),
    Row(
        8,
        [
            chart(
                "PSI of $feature by day",
                "Beside the PSI that no drift would give (E0) and the levels that hold for this feature.",
                f"""select distinct on (day_start) day_start as time, psi as "PSI", psi_expected as "E0",
       warning, drift
from ml_guard.daily_drift
{_OF_FEATURE}""",
                8,
                "none",
                dashed={"E0": QUIET, "warning": ORANGE, "drift": RED},
                min=0,
            ),
            chart(
                "Missing values of $feature by day",
                "Which share of the day's events came without a usable value.",
                f"""select distinct on (day_start) day_start as time, missing_rate as missing
from ml_guard.daily_features
{_OF_FEATURE}""",
                8,
                "percentunit",
                min=0,
            ),
            chart(
                "Quantiles of $feature by day",
                "Of numbers; text and booleans have none. Within 1.33 % of rank.",
                f"""select distinct on (day_start) day_start as time, p05, p25, p50, p75, p95
from ml_guard.daily_features
{_OF_FEATURE}""",
                8,
                "short",
                colours={"p50": GREEN},
            ),
        ],
    ),
]
