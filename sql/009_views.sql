-- The interface for people with SQL and for dashboards: columns are added here, never renamed or taken away.

create view ml_guard.daily_metrics as
select
    project_id, model_id, endpoint, day, day_start, day_end, zone, revision, status, complete,
    requests, first_event_at, last_event_at,
    latency_n, latency_mean_ms, latency_min_ms, latency_max_ms,
    latency_p50_ms, latency_p90_ms, latency_p95_ms, latency_p99_ms,
    prediction_n, prediction_mean, proba_mean, rank_error,
    baseline_version, features_scored, features_warning, features_drift, worst_feature, worst_psi, updated_at
from ml_guard.metric_day;
comment on view ml_guard.daily_metrics is
    'A row for each local day of a model''s endpoint: requests, latency, predictions, how many features drifted. The open day is provisional.';

create view ml_guard.daily_features as
select
    project_id, model_id, endpoint, feature, kind, day, day_start, day_end, zone, revision, status,
    n, missing, missing_rate, non_finite, minimum, maximum, mean, stddev,
    p01, p05, p25, p50, p75, p90, p95, p99, rank_error, distinct_count, exact, top, updated_at
from ml_guard.feature_day;
comment on view ml_guard.daily_features is
    'A row for each feature and local day: how many values, their moments and percentiles, the most frequent labels.';

create view ml_guard.daily_drift as
select
    project_id, model_id, endpoint, feature, kind, day, day_start, day_end, zone, revision, status,
    verdict, psi, psi_expected, p_value, q_value, chi_square, degrees_of_freedom, js_distance, l_infinity,
    warning, drift, n, missing, missing_rate, baseline_version, baseline_overlaps, method, updated_at
from ml_guard.feature_day;
comment on view ml_guard.daily_drift is
    'A row for each feature and local day: how far it is from the model''s baseline, and the verdict.';

create view ml_guard.daily_bins as
select
    f.project_id, f.model_id, f.endpoint, f.feature, f.kind, f.day, f.day_start, f.day_end, f.revision, f.status,
    f.baseline_version, f.verdict, f.psi,
    (b.position - 1)::integer as bin_index,
    b.item ->> 'bin' as bin,
    case b.item ->> 'bin'
        when 'label' then b.item ->> 'label'
        when 'range' then case
            when b.item ->> 'lower' is null and b.item ->> 'upper' is null then 'any'
            when b.item ->> 'lower' is null then '<= ' || (b.item ->> 'upper')
            when b.item ->> 'upper' is null then '> ' || (b.item ->> 'lower')
            else '(' || (b.item ->> 'lower') || ', ' || (b.item ->> 'upper') || ']' end
        else b.item ->> 'bin' end as label,
    (b.item ->> 'lower')::double precision as lower,
    (b.item ->> 'upper')::double precision as upper,
    (b.item ->> 'baseline_share')::double precision as baseline_share,
    (b.item ->> 'share')::double precision as share,
    (b.item ->> 'points')::double precision as points,
    (b.item ->> 'count')::double precision as count,
    (b.item ->> 'contribution')::double precision as contribution
from ml_guard.feature_day f,
     jsonb_array_elements(f.bins) with ordinality as b(item, position);
comment on view ml_guard.daily_bins is
    'A row for each bin of a feature''s local day: its share then and in the baseline, and its part of the PSI.';
comment on column ml_guard.daily_bins.bin_index is 'The bin''s place, from 0.';
comment on column ml_guard.daily_bins.bin is 'range, label, other, unseen or missing.';
comment on column ml_guard.daily_bins.label is 'The bin for people: a label, a range, or other, unseen, missing.';
comment on column ml_guard.daily_bins.lower is 'A range''s lower end, not in it; null: open.';
comment on column ml_guard.daily_bins.upper is 'A range''s upper end, in it; null: open.';
comment on column ml_guard.daily_bins.baseline_share is 'The bin''s share of the baseline''s events.';
comment on column ml_guard.daily_bins.share is 'The bin''s share of the day''s events.';
comment on column ml_guard.daily_bins.points is 'share less baseline_share, in percentage points.';
comment on column ml_guard.daily_bins.count is 'The day''s events in the bin.';
comment on column ml_guard.daily_bins.contribution is 'The bin''s part of the PSI; the parts add up to it.';

create view ml_guard.days as
select
    project_id, day, day_start, day_end, zone, status, revision, complete, blocked_partitions,
    first_seen_at, reopened_at, closed_at
from ml_guard.day_close;
comment on view ml_guard.days is 'The local days of projects and whether they have closed.';

create view ml_guard.baselines as
select
    b.project_id, b.model_id, b.endpoint, b.version, b.active, b.days, b.window_start, b.window_end, b.events,
    (select count(*) from ml_guard.baseline_feature f
     where (f.project_id, f.model_id, f.endpoint, f.version) = (b.project_id, b.model_id, b.endpoint, b.version)) as features,
    b.captured_at, b.captured_by, b.note
from ml_guard.baseline b;
comment on view ml_guard.baselines is 'The baselines of models, every version.';
comment on column ml_guard.baselines.features is 'How many features it has.';

create view ml_guard.ledger_partitions as
select
    p.*,
    p.offsets_passed - p.records_decoded - p.records_dead - p.records_duplicate - p.records_lost - p.records_empty
        as difference,
    p.offsets_passed = p.records_decoded + p.records_dead + p.records_duplicate + p.records_lost + p.records_empty
        as balanced
from (
    select
        topic, "partition", first_offset, next_offset, next_offset - first_offset as offsets_passed,
        records_decoded, records_dead, records_duplicate, records_lost, records_empty, stopped_reason
    from ml_guard.stream_fence
) p;
comment on view ml_guard.ledger_partitions is
    'Every offset that was passed is accounted for: decoded + dead + duplicate + lost + empty, for each partition.';
comment on column ml_guard.ledger_partitions.offsets_passed is 'Offsets from first_offset to next_offset.';
comment on column ml_guard.ledger_partitions.difference is 'Offsets passed that are not accounted for; 0 when it balances.';
comment on column ml_guard.ledger_partitions.balanced is 'Whether difference is 0.';

create view ml_guard.ledger_days as
select
    b.*,
    b.decoded - b.merged - b.dead - b.duplicate - b.deleted as difference,
    b.decoded = b.merged + b.dead + b.duplicate + b.deleted as balanced
from (
    select
        e.project_id, max(e.day) as day, e.day_start,
        sum(e.decoded)::bigint as decoded, sum(e.merged)::bigint as merged, sum(e.dead)::bigint as dead,
        sum(e.duplicate)::bigint as duplicate, sum(e.deleted)::bigint as deleted
    from (
        select l.project_id, l.day, l.day_start, l.decoded, 0::bigint as merged, l.dead, l.duplicate, l.deleted
        from ml_guard.ledger_day l
        union all
        select s.project_id, s.day, s.day_start, 0, s.n, 0, 0, 0
        from ml_guard.day_sketch s
        where s.feature = '@events' and s.kind = 'events'
    ) e
    group by e.project_id, e.day_start
) b;
comment on view ml_guard.ledger_days is
    'Every event that was decoded is accounted for: merged into sketches + dead + duplicate + deleted, for each project''s local day; the unattributed have project '''' and day_start -infinity.';
comment on column ml_guard.ledger_days.merged is 'Events that the day''s sketches hold.';
comment on column ml_guard.ledger_days.difference is 'Events decoded that are not accounted for; 0 when it balances.';
comment on column ml_guard.ledger_days.balanced is 'Whether difference is 0.';

-- A worker is heard of at least every few seconds, also when nothing comes.
create view ml_guard.stream_status as
select
    f.topic, f."partition",
    case
        when f.stopped_reason is not null then 'stopped'
        when f.heartbeat_at is null or f.heartbeat_at < now() - interval '30 seconds' then 'silent'
        else 'running' end as state,
    f.stopped_reason, f.owner, f.epoch, f.next_offset, f.heartbeat_at,
    extract(epoch from now() - f.heartbeat_at)::double precision as heartbeat_age_s,
    f.catalog_generation,
    f.catalog_generation >= c.generation as catalog_current
from ml_guard.stream_fence f, ml_guard.catalog c;
comment on view ml_guard.stream_status is 'Partitions: who reads them, how far they are, whether they stand still.';
comment on column ml_guard.stream_status.state is
    'running; stopped: it waits for a person, stopped_reason says why; silent: its owner was not heard of for 30 seconds.';
comment on column ml_guard.stream_status.heartbeat_age_s is 'For how many seconds its owner was not heard of.';
comment on column ml_guard.stream_status.catalog_current is 'Whether its owner works with the latest projects, baselines and settings.';

create view ml_guard.dead_letters as
select
    project_id, reason, detail, appended_at, topic, "partition", "offset", event_index, replayed_at
from ml_guard.dead_letter;
comment on view ml_guard.dead_letters is 'Events that could not be counted, and why.';

-- A view's column that has its table's name means the same.
do $$
declare
    described record;
begin
    for described in
        select v.relname as view_name, a.attname as column_name, min(pg_catalog.col_description(t.oid, b.attnum)) as text
        from pg_catalog.pg_class v
        join pg_catalog.pg_attribute a on a.attrelid = v.oid and a.attnum > 0
        join pg_catalog.pg_rewrite r on r.ev_class = v.oid
        join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = r.oid
            and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjsubid > 0
        join pg_catalog.pg_class t on t.oid = d.refobjid and t.relkind in ('r', 'p')
        join pg_catalog.pg_attribute b on b.attrelid = t.oid and b.attnum = d.refobjsubid and b.attname = a.attname
        where v.relnamespace = 'ml_guard'::regnamespace and v.relkind = 'v'
          and pg_catalog.col_description(v.oid, a.attnum) is null
          and pg_catalog.col_description(t.oid, b.attnum) is not null
        group by v.relname, a.attname
    loop
        execute pg_catalog.format('comment on column ml_guard.%I.%I is %L',
                                  described.view_name, described.column_name, described.text);
    end loop;
end
$$;
