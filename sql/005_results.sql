-- What a day came to: revision 0 while it is open (provisional), 1 when it closed (final), more when late events restated it.

create sequence ml_guard.result_change;

create table ml_guard.metric_day (
    project_id text not null,
    model_id text not null,
    endpoint text not null,
    day_start timestamptz not null,
    day date not null,
    day_end timestamptz not null,
    zone text not null,
    revision integer not null,
    status text not null check (status in ('provisional', 'final')),
    complete boolean not null default true,
    requests bigint not null,
    first_event_at timestamptz,
    last_event_at timestamptz,
    latency_n bigint not null default 0,
    latency_mean_ms double precision,
    latency_min_ms double precision,
    latency_max_ms double precision,
    latency_p50_ms double precision,
    latency_p90_ms double precision,
    latency_p95_ms double precision,
    latency_p99_ms double precision,
    prediction_n bigint not null default 0,
    prediction_mean double precision,
    proba_mean double precision,
    rank_error double precision,
    baseline_version integer,
    features_scored integer not null default 0,
    features_warning integer not null default 0,
    features_drift integer not null default 0,
    worst_feature text,
    worst_psi double precision,
    updated_at timestamptz not null default now(),
    change_id bigint not null default nextval('ml_guard.result_change'),
    primary key (project_id, model_id, endpoint, day_start)
) with (fillfactor = 70);
select create_hypertable('ml_guard.metric_day', by_range('day_start', interval '90 days'), create_default_indexes => false);
create index metric_day_change on ml_guard.metric_day (change_id);

create table ml_guard.feature_day (
    project_id text not null,
    model_id text not null,
    endpoint text not null,
    feature text not null,
    kind text not null,
    day_start timestamptz not null,
    day date not null,
    day_end timestamptz not null,
    zone text not null,
    revision integer not null,
    status text not null check (status in ('provisional', 'final')),
    n bigint not null,
    missing bigint not null,
    missing_rate double precision,
    non_finite bigint not null default 0,
    minimum double precision,
    maximum double precision,
    mean double precision,
    stddev double precision,
    p01 double precision,
    p05 double precision,
    p25 double precision,
    p50 double precision,
    p75 double precision,
    p90 double precision,
    p95 double precision,
    p99 double precision,
    rank_error double precision,
    distinct_count bigint,
    exact boolean not null,
    top jsonb,
    baseline_version integer,
    method text check (method in ('counters', 'sketch')),
    verdict text not null,
    psi double precision,
    psi_expected double precision,
    chi_square double precision,
    degrees_of_freedom integer,
    p_value double precision,
    q_value double precision,
    js_distance double precision,
    l_infinity double precision,
    warning double precision,
    drift double precision,
    baseline_overlaps boolean not null default false,
    bins jsonb,
    updated_at timestamptz not null default now(),
    primary key (project_id, model_id, endpoint, day_start, feature, kind)
) with (fillfactor = 70);
select create_hypertable('ml_guard.feature_day', by_range('day_start', interval '30 days'), create_default_indexes => false);

-- The latest days of a model are the primary key's; a day over a project, or over all of them, is these.
create index metric_day_order on ml_guard.metric_day (day_start, project_id, model_id, endpoint);
create index feature_day_order on ml_guard.feature_day (day_start, project_id, model_id, endpoint, feature, kind);

comment on sequence ml_guard.result_change is 'Numbers the writes of metric_day, so that a reader can ask for what is newer.';

comment on table ml_guard.metric_day is 'A local day of a model''s endpoint; read it through daily_metrics.';
comment on column ml_guard.metric_day.project_id is 'The project.';
comment on column ml_guard.metric_day.model_id is 'The model.';
comment on column ml_guard.metric_day.endpoint is 'The model''s endpoint.';
comment on column ml_guard.metric_day.day_start is 'When the local day begins.';
comment on column ml_guard.metric_day.day is 'The local date.';
comment on column ml_guard.metric_day.day_end is 'When the local day ends; the first instant after it.';
comment on column ml_guard.metric_day.zone is 'The time zone that cut it.';
comment on column ml_guard.metric_day.revision is '0 while the day is open, 1 when it closed, more when late events restated it.';
comment on column ml_guard.metric_day.status is 'provisional while the day is open, final once it has closed.';
comment on column ml_guard.metric_day.complete is 'False: it closed although a partition stood still.';
comment on column ml_guard.metric_day.requests is 'Events of the day, by their own timestamps.';
comment on column ml_guard.metric_day.first_event_at is 'The earliest timestamp.';
comment on column ml_guard.metric_day.last_event_at is 'The latest timestamp.';
comment on column ml_guard.metric_day.latency_n is 'How many events had a latency.';
comment on column ml_guard.metric_day.latency_mean_ms is 'The mean latency.';
comment on column ml_guard.metric_day.latency_min_ms is 'The smallest latency.';
comment on column ml_guard.metric_day.latency_max_ms is 'The largest latency.';
comment on column ml_guard.metric_day.latency_p50_ms is 'The median latency, within rank_error.';
comment on column ml_guard.metric_day.latency_p90_ms is 'The 90th percentile of latency, within rank_error.';
comment on column ml_guard.metric_day.latency_p95_ms is 'The 95th percentile of latency, within rank_error.';
comment on column ml_guard.metric_day.latency_p99_ms is 'The 99th percentile of latency, within rank_error.';
comment on column ml_guard.metric_day.prediction_n is 'How many events had a prediction.';
comment on column ml_guard.metric_day.prediction_mean is 'The mean prediction, true as 1; null when any was text.';
comment on column ml_guard.metric_day.proba_mean is 'The mean of the predictions'' probabilities.';
comment on column ml_guard.metric_day.rank_error is 'By how much a percentile''s rank may be off, as a share, 99 times of 100; 0: exact.';
comment on column ml_guard.metric_day.baseline_version is 'The baseline that the day was compared with.';
comment on column ml_guard.metric_day.features_scored is 'How many features have a score.';
comment on column ml_guard.metric_day.features_warning is 'How many of them are warnings.';
comment on column ml_guard.metric_day.features_drift is 'How many of them have drifted.';
comment on column ml_guard.metric_day.worst_feature is 'The feature with the highest PSI.';
comment on column ml_guard.metric_day.worst_psi is 'Its PSI.';
comment on column ml_guard.metric_day.updated_at is 'When the row was written.';
comment on column ml_guard.metric_day.change_id is 'Which write it was; rises with every one.';

comment on table ml_guard.feature_day is 'A feature on a local day; read it through daily_features, daily_drift and daily_bins.';
comment on column ml_guard.feature_day.project_id is 'The project.';
comment on column ml_guard.feature_day.model_id is 'The model.';
comment on column ml_guard.feature_day.endpoint is 'The model''s endpoint.';
comment on column ml_guard.feature_day.feature is 'The feature; @latency_ms, @y_pred and @y_proba are built in.';
comment on column ml_guard.feature_day.kind is 'numeric, categorical or boolean.';
comment on column ml_guard.feature_day.day_start is 'When the local day begins.';
comment on column ml_guard.feature_day.day is 'The local date.';
comment on column ml_guard.feature_day.day_end is 'When the local day ends; the first instant after it.';
comment on column ml_guard.feature_day.zone is 'The time zone that cut it.';
comment on column ml_guard.feature_day.revision is '0 while the day is open, 1 when it closed, more when late events restated it.';
comment on column ml_guard.feature_day.status is 'provisional while the day is open, final once it has closed.';
comment on column ml_guard.feature_day.n is 'Values of this kind, those not finite left out.';
comment on column ml_guard.feature_day.missing is 'Events of the day without such a value.';
comment on column ml_guard.feature_day.missing_rate is 'Their share.';
comment on column ml_guard.feature_day.non_finite is 'How many of the missing were there but not finite.';
comment on column ml_guard.feature_day.minimum is 'The smallest value.';
comment on column ml_guard.feature_day.maximum is 'The largest value.';
comment on column ml_guard.feature_day.mean is 'The mean.';
comment on column ml_guard.feature_day.stddev is 'The standard deviation.';
comment on column ml_guard.feature_day.p01 is 'The 1st percentile, within rank_error.';
comment on column ml_guard.feature_day.p05 is 'The 5th percentile, within rank_error.';
comment on column ml_guard.feature_day.p25 is 'The 25th percentile, within rank_error.';
comment on column ml_guard.feature_day.p50 is 'The median, within rank_error.';
comment on column ml_guard.feature_day.p75 is 'The 75th percentile, within rank_error.';
comment on column ml_guard.feature_day.p90 is 'The 90th percentile, within rank_error.';
comment on column ml_guard.feature_day.p95 is 'The 95th percentile, within rank_error.';
comment on column ml_guard.feature_day.p99 is 'The 99th percentile, within rank_error.';
comment on column ml_guard.feature_day.rank_error is 'By how much a percentile''s rank may be off, as a share, 99 times of 100; 0: exact.';
comment on column ml_guard.feature_day.distinct_count is 'Text and boolean: how many labels there were.';
comment on column ml_guard.feature_day.exact is 'Whether nothing was estimated.';
comment on column ml_guard.feature_day.top is 'Text and boolean: the most frequent labels with their counts and the bounds of these.';
comment on column ml_guard.feature_day.baseline_version is 'The baseline that it was compared with.';
comment on column ml_guard.feature_day.method is 'counters: the bins were counted exactly; sketch: they were estimated from the day''s sketch.';
comment on column ml_guard.feature_day.verdict is
    'ok, warning, drift, insufficient_data, missing_baseline, type_changed, missing_feature, new_feature or ignored.';
comment on column ml_guard.feature_day.psi is 'The population stability index.';
comment on column ml_guard.feature_day.psi_expected is 'The PSI that no drift would give with so many events.';
comment on column ml_guard.feature_day.chi_square is 'Pearson''s two-sample statistic on the bins; p_value takes it after the correction for what sketches estimate.';
comment on column ml_guard.feature_day.degrees_of_freedom is 'Its degrees of freedom.';
comment on column ml_guard.feature_day.p_value is 'Its p-value.';
comment on column ml_guard.feature_day.q_value is 'The p-value corrected over the scored features of the model''s day (Benjamini-Hochberg).';
comment on column ml_guard.feature_day.js_distance is 'The Jensen-Shannon distance, base 2.';
comment on column ml_guard.feature_day.l_infinity is 'The largest difference of a bin''s share.';
comment on column ml_guard.feature_day.warning is 'The PSI from which a significant change is a warning.';
comment on column ml_guard.feature_day.drift is 'The PSI from which a significant change is drift.';
comment on column ml_guard.feature_day.baseline_overlaps is 'Whether the day is one of those that the baseline was captured from.';
comment on column ml_guard.feature_day.bins is 'The bins with their shares and contributions; read them through daily_bins.';
comment on column ml_guard.feature_day.updated_at is 'When the row was written.';
