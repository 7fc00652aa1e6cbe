-- What TimescaleDB does by itself: refresh the aggregates, compress old state, drop what is older than the horizon.

-- Late events name model, endpoint and feature: segments by them are all that an upsert into the past decompresses.
alter table ml_guard.day_sketch set (
    timescaledb.compress,
    timescaledb.compress_segmentby = 'project_id, model_id, endpoint, feature',
    timescaledb.compress_orderby = 'day_start, kind, shard'
);
alter table ml_guard.bin_count set (
    timescaledb.compress,
    timescaledb.compress_segmentby = 'project_id, model_id, endpoint, feature',
    timescaledb.compress_orderby = 'day_start, kind, baseline_version, shard'
);
alter table ml_guard.traffic_minute set (
    timescaledb.compress,
    timescaledb.compress_segmentby = 'project_id, model_id, endpoint',
    timescaledb.compress_orderby = 'minute, shard'
);

-- The search path is the migrator's: where TimescaleDB is installed.
create procedure ml_guard.set_policies(compress_after_days integer default 14, retention_days integer default null)
language plpgsql
set search_path from current
as $$
declare
    relation text;
begin
    if compress_after_days < 1 or retention_days < 1 then
        raise exception 'compress_after_days and retention_days count days from 1, not % and %', compress_after_days, retention_days
            using errcode = '22023';
    end if;
    if retention_days <= compress_after_days then
        compress_after_days := null;  -- it would be dropped before it is compressed
    end if;
    foreach relation in array array['ml_guard.day_sketch', 'ml_guard.bin_count', 'ml_guard.traffic_minute'] loop
        perform remove_compression_policy(relation::regclass, if_exists => true);
        if compress_after_days is not null then
            perform add_compression_policy(relation::regclass, compress_after => make_interval(days => compress_after_days));
        end if;
    end loop;
    -- Two days more than the horizon of events: a chunk may begin a local day before the events that it holds.
    foreach relation in array array[
        'ml_guard.day_sketch', 'ml_guard.bin_count', 'ml_guard.traffic_minute',
        'ml_guard.traffic_hour_utc', 'ml_guard.traffic_day_utc'
    ] loop
        perform remove_retention_policy(relation::regclass, if_exists => true);
        if retention_days is not null then
            perform add_retention_policy(relation::regclass, drop_after => make_interval(days => retention_days + 2));
        end if;
    end loop;
    -- What is older than a week is refreshed when its day closes. The hour and the day that run are added when read.
    perform remove_continuous_aggregate_policy('ml_guard.traffic_hour_utc', if_exists => true);
    perform add_continuous_aggregate_policy('ml_guard.traffic_hour_utc',
        start_offset => interval '7 days', end_offset => interval '1 hour', schedule_interval => interval '15 minutes');
    perform remove_continuous_aggregate_policy('ml_guard.traffic_day_utc', if_exists => true);
    perform add_continuous_aggregate_policy('ml_guard.traffic_day_utc',
        start_offset => interval '8 days', end_offset => interval '1 day', schedule_interval => interval '1 hour');
end
$$;
comment on procedure ml_guard.set_policies(integer, integer) is
    'Sets when state is compressed and after how many days it is dropped (null: never), and how the traffic aggregates are refreshed.';

call ml_guard.set_policies();
