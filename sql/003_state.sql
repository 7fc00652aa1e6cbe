-- The state of days, one row a shard: sketches, counters against frozen bins, traffic by minute.

create table ml_guard.day_sketch (
    project_id text not null,
    model_id text not null,
    endpoint text not null,
    feature text not null,
    kind text not null check (kind in ('events', 'numeric', 'categorical', 'boolean')),
    day_start timestamptz not null,
    shard integer not null,
    day date not null,
    day_end timestamptz not null,
    zone text not null,
    n bigint not null,
    non_finite bigint not null default 0,
    minimum double precision,
    maximum double precision,
    mean double precision,
    m2 double precision,
    sketch bytea,
    baseline_version integer,
    first_event_at timestamptz,
    last_event_at timestamptz,
    primary key (project_id, model_id, endpoint, day_start, feature, kind, shard)
) with (fillfactor = 70);
select create_hypertable('ml_guard.day_sketch', by_range('day_start', interval '7 days'), create_default_indexes => false);

create table ml_guard.bin_count (
    project_id text not null,
    model_id text not null,
    endpoint text not null,
    feature text not null,
    kind text not null,
    baseline_version integer not null,
    day_start timestamptz not null,
    shard integer not null,
    n bigint not null,
    counts bigint[] not null,
    primary key (project_id, model_id, endpoint, day_start, feature, kind, baseline_version, shard)
) with (fillfactor = 70);
select create_hypertable('ml_guard.bin_count', by_range('day_start', interval '7 days'), create_default_indexes => false);

create table ml_guard.traffic_minute (
    project_id text not null,
    model_id text not null,
    endpoint text not null,
    minute timestamptz not null,
    shard integer not null,
    requests bigint not null,
    latency_n bigint not null default 0,
    latency_sum_ms double precision not null default 0,
    latency_low smallint,
    latency_counts integer[],
    primary key (project_id, model_id, endpoint, minute, shard)
) with (fillfactor = 70);
select create_hypertable('ml_guard.traffic_minute', by_range('minute', interval '1 day'), create_default_indexes => false);
