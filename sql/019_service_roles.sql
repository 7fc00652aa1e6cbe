-- Roles for the services' logins: API and workers read and write rows; neither can change the schema.
--
-- Where the migrator may not create roles they are left out: docs/security.md says what to run by hand.

do $$
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'ml_guard_worker') then
        create role ml_guard_worker nologin;
        comment on role ml_guard_worker is 'Reads and writes ML Guard''s rows, as workers do; cannot change the schema.';
    end if;
exception
    when insufficient_privilege then
        raise warning 'the role ml_guard_worker was not created: %', sqlerrm;
end
$$;

-- Only its owner may refresh a continuous aggregate: a worker that is not asks here, and a job of the owner's does it.
create table ml_guard.aggregate_refresh (
    aggregate text not null check (aggregate in ('traffic_hour_utc', 'traffic_day_utc')),
    begin_at timestamptz not null,
    end_at timestamptz not null,
    asked_at timestamptz not null default clock_timestamp(),
    primary key (aggregate, begin_at, end_at)
);
comment on table ml_guard.aggregate_refresh is 'Ranges of the traffic aggregates that changed below their watermark and are still to be refreshed.';
comment on column ml_guard.aggregate_refresh.aggregate is 'Which of them.';
comment on column ml_guard.aggregate_refresh.begin_at is 'Where the range begins.';
comment on column ml_guard.aggregate_refresh.end_at is 'Where it ends.';
comment on column ml_guard.aggregate_refresh.asked_at is 'When it was last asked for.';

-- The schema of TimescaleDB is written into it: a procedure that sets a search path could not commit.
do $migration$
declare
    timescale text := (select n.nspname from pg_catalog.pg_extension e
                       join pg_catalog.pg_namespace n on n.oid = e.extnamespace where e.extname = 'timescaledb');
    old integer;
begin
    execute pg_catalog.format(
        $format$
        create procedure ml_guard.refresh_aggregates(job_id integer default null, config jsonb default null)
        language plpgsql
        as $procedure$
        declare
            wanted record;
        begin
            loop
                select r.* into wanted from ml_guard.aggregate_refresh r
                order by r.aggregate desc, r.begin_at limit 1;  -- days are made of hours
                exit when not found;
                call %1$I.refresh_continuous_aggregate(
                    ('ml_guard.' || wanted.aggregate)::regclass, wanted.begin_at, wanted.end_at);
                delete from ml_guard.aggregate_refresh r
                where (r.aggregate, r.begin_at, r.end_at, r.asked_at)
                    = (wanted.aggregate, wanted.begin_at, wanted.end_at, wanted.asked_at);
                commit;
            end loop;
        end
        $procedure$
        $format$, timescale);
    if to_regclass('timescaledb_information.jobs') is not null then  -- that of a schema which was dropped
        for old in select j.job_id from timescaledb_information.jobs j
                   where (j.proc_schema, j.proc_name) = ('ml_guard', 'refresh_aggregates') loop
            execute pg_catalog.format('select %I.delete_job(%s)', timescale, old);
        end loop;
    end if;
    execute pg_catalog.format(
        'select %I.add_job(''ml_guard.refresh_aggregates'', interval ''30 seconds'')', timescale);
end
$migration$;
comment on procedure ml_guard.refresh_aggregates(integer, jsonb) is
    'Refreshes the ranges of ml_guard.aggregate_refresh; a job of TimescaleDB calls it every 30 seconds.';

do $$
declare
    service text;
begin
    foreach service in array array['ml_guard_api', 'ml_guard_worker'] loop
        continue when not exists (select from pg_catalog.pg_roles where rolname = service);
        execute pg_catalog.format('grant usage on schema ml_guard to %I', service);
        execute pg_catalog.format('grant select, insert, update, delete on all tables in schema ml_guard to %I', service);
        execute pg_catalog.format('revoke insert, update, delete on ml_guard.migration from %I', service);
        execute pg_catalog.format('grant usage on all sequences in schema ml_guard to %I', service);
        -- And on what later migrations make.
        execute pg_catalog.format(
            'alter default privileges in schema ml_guard grant select, insert, update, delete on tables to %I', service);
        execute pg_catalog.format('alter default privileges in schema ml_guard grant usage on sequences to %I', service);
    end loop;
end
$$;
