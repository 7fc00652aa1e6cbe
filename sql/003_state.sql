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
-- A sketch hardly shrinks, and trying to is a third of what writing its row costs.
alter table ml_guard.day_sketch alter column sketch set storage external;
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

-- A project's events by day, for the ledger.
create index day_sketch_events on ml_guard.day_sketch (project_id, day_start) where feature = '@events';

comment on table ml_guard.day_sketch is
    'What is known of a feature on a local day from one partition; readers merge the shards. The feature @events counts the events themselves.';
comment on column ml_guard.day_sketch.project_id is 'The project.';
comment on column ml_guard.day_sketch.model_id is 'The model.';
comment on column ml_guard.day_sketch.endpoint is 'The model''s endpoint.';
comment on column ml_guard.day_sketch.feature is 'The feature; @latency_ms, @y_pred, @y_proba and @events are built in.';
comment on column ml_guard.day_sketch.kind is 'numeric, categorical, boolean; events for the count of events.';
comment on column ml_guard.day_sketch.day_start is 'When the local day begins.';
comment on column ml_guard.day_sketch.shard is 'The partition.';
comment on column ml_guard.day_sketch.day is 'The local date.';
comment on column ml_guard.day_sketch.day_end is 'When the local day ends; the first instant after it.';
comment on column ml_guard.day_sketch.zone is 'The time zone that cut it.';
comment on column ml_guard.day_sketch.n is 'How many values it holds, those not finite left out; for @events the number of events.';
comment on column ml_guard.day_sketch.non_finite is 'How many values were not finite.';
comment on column ml_guard.day_sketch.minimum is 'The smallest value.';
comment on column ml_guard.day_sketch.maximum is 'The largest value.';
comment on column ml_guard.day_sketch.mean is 'The mean.';
comment on column ml_guard.day_sketch.m2 is 'The sum of squared distances from the mean.';
comment on column ml_guard.day_sketch.sketch is 'The sketch: KLL for numbers, frequent items for text and booleans.';
comment on column ml_guard.day_sketch.baseline_version is 'Of @events: the baseline that this shard counts the day against.';
comment on column ml_guard.day_sketch.first_event_at is 'Of @events: the earliest timestamp.';
comment on column ml_guard.day_sketch.last_event_at is 'Of @events: the latest timestamp.';

comment on table ml_guard.bin_count is 'Exact counts of a feature''s values in a baseline''s bins, by local day and partition.';
comment on column ml_guard.bin_count.project_id is 'The project.';
comment on column ml_guard.bin_count.model_id is 'The model.';
comment on column ml_guard.bin_count.endpoint is 'The model''s endpoint.';
comment on column ml_guard.bin_count.feature is 'The feature.';
comment on column ml_guard.bin_count.kind is 'numeric, categorical or boolean.';
comment on column ml_guard.bin_count.baseline_version is 'The baseline whose bins they are.';
comment on column ml_guard.bin_count.day_start is 'When the local day begins.';
comment on column ml_guard.bin_count.shard is 'The partition.';
comment on column ml_guard.bin_count.n is 'How many values were counted.';
comment on column ml_guard.bin_count.counts is 'The counts, in the order of the baseline''s bins, without the missing.';

comment on table ml_guard.traffic_minute is 'Requests and latencies by minute and partition.';
comment on column ml_guard.traffic_minute.project_id is 'The project.';
comment on column ml_guard.traffic_minute.model_id is 'The model.';
comment on column ml_guard.traffic_minute.endpoint is 'The model''s endpoint.';
comment on column ml_guard.traffic_minute.minute is 'When the minute begins.';
comment on column ml_guard.traffic_minute.shard is 'The partition.';
comment on column ml_guard.traffic_minute.requests is 'Events of the minute, by their own timestamps.';
comment on column ml_guard.traffic_minute.latency_n is 'How many of them had a latency.';
comment on column ml_guard.traffic_minute.latency_sum_ms is 'The sum of their latencies.';
comment on column ml_guard.traffic_minute.latency_low is 'The lowest bucket of the latency histogram; null without any.';
comment on column ml_guard.traffic_minute.latency_counts is 'The histogram''s counts, from the lowest bucket on; null without any.';
