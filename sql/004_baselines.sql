-- Baselines: an explicit window of closed days, captured once, versioned, with frozen bins.

create table ml_guard.baseline (
    project_id text not null,
    model_id text not null,
    endpoint text not null,
    version integer not null,
    active boolean not null default true,
    day_starts timestamptz[] not null,
    days date[] not null,
    window_start timestamptz not null,
    window_end timestamptz not null,
    events bigint not null,
    captured_at timestamptz not null default now(),
    captured_by text not null default '',
    note text not null default '',
    primary key (project_id, model_id, endpoint, version)
);
create unique index baseline_active on ml_guard.baseline (project_id, model_id, endpoint) where active;

-- Bin vectors: numeric [bin 0 .. bin N-1, missing]; text and boolean [label 0 .. label K-1, other, unseen, missing].
create table ml_guard.baseline_feature (
    project_id text not null,
    model_id text not null,
    endpoint text not null,
    version integer not null,
    feature text not null,
    kind text not null check (kind in ('numeric', 'categorical', 'boolean')),
    n bigint not null,
    missing bigint not null,
    edges double precision[],
    labels text[],
    other_labels text[],
    shares double precision[] not null,
    share_errors double precision[] not null,
    warning double precision not null,
    drift double precision not null,
    ignored boolean not null default false,
    minimum double precision,
    maximum double precision,
    mean double precision,
    stddev double precision,
    quantiles double precision[],
    primary key (project_id, model_id, endpoint, version, feature, kind),
    foreign key (project_id, model_id, endpoint, version) references ml_guard.baseline on delete cascade
);

create trigger baseline_changed after insert or update or delete on ml_guard.baseline
    for each statement execute function ml_guard.raise_catalog_generation();

comment on table ml_guard.baseline is 'What a model''s endpoint is compared with: a window of closed days, captured once; every version is kept.';
comment on column ml_guard.baseline.project_id is 'The project.';
comment on column ml_guard.baseline.model_id is 'The model.';
comment on column ml_guard.baseline.endpoint is 'The model''s endpoint.';
comment on column ml_guard.baseline.version is 'Counts up from 1.';
comment on column ml_guard.baseline.active is 'Whether new days are compared with it.';
comment on column ml_guard.baseline.day_starts is 'When the days of the window begin.';
comment on column ml_guard.baseline.days is 'Their local dates.';
comment on column ml_guard.baseline.window_start is 'When the first of them begins.';
comment on column ml_guard.baseline.window_end is 'When the last of them ends.';
comment on column ml_guard.baseline.events is 'Events in the window.';
comment on column ml_guard.baseline.captured_at is 'When it was captured.';
comment on column ml_guard.baseline.captured_by is 'With which key.';
comment on column ml_guard.baseline.note is 'What people wanted to say about it.';

comment on table ml_guard.baseline_feature is 'A baseline''s features: frozen bins and what they held.';
comment on column ml_guard.baseline_feature.project_id is 'The project.';
comment on column ml_guard.baseline_feature.model_id is 'The model.';
comment on column ml_guard.baseline_feature.endpoint is 'The model''s endpoint.';
comment on column ml_guard.baseline_feature.version is 'The baseline''s version.';
comment on column ml_guard.baseline_feature.feature is 'The feature; @latency_ms, @y_pred and @y_proba are built in.';
comment on column ml_guard.baseline_feature.kind is 'numeric, categorical or boolean.';
comment on column ml_guard.baseline_feature.n is 'Values in the window, those not finite left out.';
comment on column ml_guard.baseline_feature.missing is 'Events of the window without such a value.';
comment on column ml_guard.baseline_feature.edges is 'Numeric: the inner edges of the bins; a bin holds its upper edge.';
comment on column ml_guard.baseline_feature.labels is 'Text and boolean: the labels that have a bin each.';
comment on column ml_guard.baseline_feature.other_labels is 'The labels that share the bin other; null: they could not be counted exactly, and none is unseen.';
comment on column ml_guard.baseline_feature.shares is 'The share of each bin, the reserved ones last.';
comment on column ml_guard.baseline_feature.share_errors is 'The standard deviation that the sketch''s published error implies for each share; 0 where it was exact.';
comment on column ml_guard.baseline_feature.warning is 'The PSI from which a significant change is a warning.';
comment on column ml_guard.baseline_feature.drift is 'The PSI from which a significant change is drift.';
comment on column ml_guard.baseline_feature.ignored is 'Whether it is left unscored.';
comment on column ml_guard.baseline_feature.minimum is 'The smallest value.';
comment on column ml_guard.baseline_feature.maximum is 'The largest value.';
comment on column ml_guard.baseline_feature.mean is 'The mean.';
comment on column ml_guard.baseline_feature.stddev is 'The standard deviation.';
comment on column ml_guard.baseline_feature.quantiles is 'Numeric: quantiles at 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99.';
