-- Baselines of some weekdays, and what an open day had come to at each of its full hours.

-- 1 is Monday. Of a model's endpoint no two active baselines share a weekday; the one of all days stands behind them.
alter table ml_guard.baseline add column weekdays smallint[] check (
    cardinality(weekdays) between 1 and 6 and weekdays <@ array[1, 2, 3, 4, 5, 6, 7]::smallint[]
);
comment on column ml_guard.baseline.weekdays is
    'Which local days are compared with it, Monday 1 to Sunday 7; null: all that no other active baseline names.';
drop index ml_guard.baseline_active;
create unique index baseline_active on ml_guard.baseline (project_id, model_id, endpoint, coalesce(weekdays, '{}'))
    where active;

create or replace view ml_guard.baselines as
select
    b.project_id, b.model_id, b.endpoint, b.version, b.active, b.days, b.window_start, b.window_end, b.events,
    (select count(*) from ml_guard.baseline_feature f
     where (f.project_id, f.model_id, f.endpoint, f.version) = (b.project_id, b.model_id, b.endpoint, b.version)) as features,
    b.captured_at, b.captured_by, b.note, b.weekdays
from ml_guard.baseline b;
comment on column ml_guard.baselines.weekdays is
    'Which local days are compared with it, Monday 1 to Sunday 7; null: all that no other active baseline names.';

create table ml_guard.feature_hour (
    project_id text not null,
    model_id text not null,
    endpoint text not null,
    day_start timestamptz not null,
    hour smallint not null check (hour between 1 and 23),
    feature text not null,
    kind text not null check (kind in ('events', 'numeric', 'categorical', 'boolean')),
    day date not null,
    hour_at timestamptz not null,
    n bigint not null,
    baseline_version integer,
    counts bigint[],
    mean double precision,
    p05 double precision,
    p25 double precision,
    p50 double precision,
    p75 double precision,
    p95 double precision,
    p99 double precision,
    primary key (project_id, model_id, endpoint, day_start, hour, feature, kind)
);
select create_hypertable('ml_guard.feature_hour', by_range('day_start', interval '7 days'), create_default_indexes => false);

comment on table ml_guard.feature_hour is
    'What the open day had come to at a full local hour; read it through hourly_features. The feature @events counts the events themselves.';
comment on column ml_guard.feature_hour.project_id is 'The project.';
comment on column ml_guard.feature_hour.model_id is 'The model.';
comment on column ml_guard.feature_hour.endpoint is 'The model''s endpoint.';
comment on column ml_guard.feature_hour.day_start is 'When the local day begins.';
comment on column ml_guard.feature_hour.hour is 'The local hour: 14 holds the day up to 14:00.';
comment on column ml_guard.feature_hour.feature is 'The feature; @latency_ms, @y_pred, @y_proba and @events are built in.';
comment on column ml_guard.feature_hour.kind is 'numeric, categorical, boolean; events for the count of events.';
comment on column ml_guard.feature_hour.day is 'The local date.';
comment on column ml_guard.feature_hour.hour_at is 'The instant of that hour.';
comment on column ml_guard.feature_hour.n is 'Values since the day began, those not finite left out; for @events the number of events.';
comment on column ml_guard.feature_hour.baseline_version is 'The baseline that the day is compared with.';
comment on column ml_guard.feature_hour.counts is
    'Values in each of its bins, without the missing; null where they were not counted exactly.';
comment on column ml_guard.feature_hour.mean is 'The mean since the day began.';
comment on column ml_guard.feature_hour.p05 is 'The 5th percentile since the day began.';
comment on column ml_guard.feature_hour.p25 is 'The 25th percentile since the day began.';
comment on column ml_guard.feature_hour.p50 is 'The median since the day began.';
comment on column ml_guard.feature_hour.p75 is 'The 75th percentile since the day began.';
comment on column ml_guard.feature_hour.p95 is 'The 95th percentile since the day began.';
comment on column ml_guard.feature_hour.p99 is 'The 99th percentile since the day began.';

create view ml_guard.hourly_features as
select
    project_id, model_id, endpoint, feature, kind, day, day_start, hour, hour_at, n, mean, p05, p25, p50, p75, p95, p99,
    baseline_version, counts
from ml_guard.feature_hour;
comment on view ml_guard.hourly_features is
    'A row for each feature and full local hour of days that workers followed: what the day had come to by then, from its beginning.';

do $$
declare
    described record;
begin
    for described in
        select a.attname as column_name, pg_catalog.col_description('ml_guard.feature_hour'::regclass, b.attnum) as text
        from pg_catalog.pg_attribute a join pg_catalog.pg_attribute b
            on b.attrelid = 'ml_guard.feature_hour'::regclass and b.attname = a.attname
        where a.attrelid = 'ml_guard.hourly_features'::regclass and a.attnum > 0
    loop
        execute pg_catalog.format('comment on column ml_guard.hourly_features.%I is %L',
                                  described.column_name, described.text);
    end loop;
end
$$;

create procedure ml_guard.keep_hours(days integer default 35)
language plpgsql
set search_path from current
as $$
begin
    if days < 1 then
        raise exception 'days counts days from 1, not %', days using errcode = '22023';
    end if;
    perform remove_retention_policy('ml_guard.feature_hour'::regclass, if_exists => true);
    perform add_retention_policy('ml_guard.feature_hour'::regclass, drop_after => make_interval(days => days));
end
$$;
comment on procedure ml_guard.keep_hours(integer) is
    'Sets for how many days the snapshots of full hours are kept.';
call ml_guard.keep_hours();

do $$
begin
    if exists (select from pg_catalog.pg_roles where rolname = 'ml_guard_reader') then
        grant select on ml_guard.hourly_features to ml_guard_reader;
    end if;
    if exists (select from pg_catalog.pg_roles where rolname = 'ml_guard_api') then
        grant select, insert, update, delete on ml_guard.feature_hour to ml_guard_api;
    end if;
end
$$;
