-- Traffic by hour and by day of UTC, the day on top of the hour; real-time: what is not yet materialised is added when read.

create materialized view ml_guard.traffic_hour_utc
with (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false) as
select
    project_id,
    model_id,
    endpoint,
    time_bucket(interval '1 hour', minute) as hour,
    sum(requests)::bigint as requests,
    sum(latency_n)::bigint as latency_n,
    sum(latency_sum_ms) as latency_sum_ms,
    min(latency_low) as latency_low,
    ml_guard.histogram_sum(latency_low, latency_counts) as latency_counts
from ml_guard.traffic_minute
group by project_id, model_id, endpoint, time_bucket(interval '1 hour', minute)
with no data;
create index traffic_hour_utc_model on ml_guard.traffic_hour_utc (project_id, model_id, endpoint, hour desc);

comment on view ml_guard.traffic_hour_utc is
    'Traffic by hour of UTC, a continuous aggregate of traffic_minute. Local days are in daily_metrics.';
comment on column ml_guard.traffic_hour_utc.project_id is 'The project.';
comment on column ml_guard.traffic_hour_utc.model_id is 'The model.';
comment on column ml_guard.traffic_hour_utc.endpoint is 'The model''s endpoint.';
comment on column ml_guard.traffic_hour_utc.hour is 'When the hour begins.';
comment on column ml_guard.traffic_hour_utc.requests is 'Events of the hour, by their own timestamps.';
comment on column ml_guard.traffic_hour_utc.latency_n is 'How many of them had a latency.';
comment on column ml_guard.traffic_hour_utc.latency_sum_ms is 'The sum of their latencies; divided by latency_n it is the mean.';
comment on column ml_guard.traffic_hour_utc.latency_low is 'The lowest bucket of the latency histogram (ml_guard.histogram_percentile).';
comment on column ml_guard.traffic_hour_utc.latency_counts is 'The histogram''s counts, from the lowest bucket on.';

create materialized view ml_guard.traffic_day_utc
with (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false) as
select
    project_id,
    model_id,
    endpoint,
    time_bucket(interval '1 day', hour) as day_start,
    sum(requests)::bigint as requests,
    sum(latency_n)::bigint as latency_n,
    sum(latency_sum_ms) as latency_sum_ms,
    min(latency_low) as latency_low,
    ml_guard.histogram_sum(latency_low, latency_counts) as latency_counts
from ml_guard.traffic_hour_utc
group by project_id, model_id, endpoint, time_bucket(interval '1 day', hour)
with no data;
create index traffic_day_utc_model on ml_guard.traffic_day_utc (project_id, model_id, endpoint, day_start desc);

comment on view ml_guard.traffic_day_utc is
    'Traffic by day of UTC, a continuous aggregate of traffic_hour_utc. Local days are in daily_metrics.';
comment on column ml_guard.traffic_day_utc.project_id is 'The project.';
comment on column ml_guard.traffic_day_utc.model_id is 'The model.';
comment on column ml_guard.traffic_day_utc.endpoint is 'The model''s endpoint.';
comment on column ml_guard.traffic_day_utc.day_start is 'When the day of UTC begins.';
comment on column ml_guard.traffic_day_utc.requests is 'Events of the day, by their own timestamps.';
comment on column ml_guard.traffic_day_utc.latency_n is 'How many of them had a latency.';
comment on column ml_guard.traffic_day_utc.latency_sum_ms is 'The sum of their latencies; divided by latency_n it is the mean.';
comment on column ml_guard.traffic_day_utc.latency_low is 'The lowest bucket of the latency histogram (ml_guard.histogram_percentile).';
comment on column ml_guard.traffic_day_utc.latency_counts is 'The histogram''s counts, from the lowest bucket on.';
