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
