-- Roles to grant to logins: ml_guard_reader for SQL users and Grafana, ml_guard_api for the API. Neither can change the schema.
--
-- Where the migrator may not create roles they are left out: create them and run the grants below by hand.

do $$
declare
    wanted record;
begin
    for wanted in
        select * from (values
            ('ml_guard_reader', 'Reads ML Guard''s views and functions.'),
            ('ml_guard_api', 'Reads and writes ML Guard''s rows; cannot change the schema.')
        ) as w(role, text)
        where not exists (select from pg_catalog.pg_roles r where r.rolname = w.role)
    loop
        execute format('create role %I nologin', wanted.role);
        execute format('comment on role %I is %L', wanted.role, wanted.text);
    end loop;
exception
    when insufficient_privilege then
        raise warning 'the roles ml_guard_reader and ml_guard_api were not created: %', sqlerrm;
end
$$;

revoke all on schema ml_guard from public;
do $$
begin
    if exists (select from pg_catalog.pg_roles where rolname = 'ml_guard_reader') then
        grant usage on schema ml_guard to ml_guard_reader;
        grant select on
            ml_guard.daily_metrics, ml_guard.daily_features, ml_guard.daily_drift, ml_guard.daily_bins,
            ml_guard.days, ml_guard.baselines, ml_guard.ledger_partitions, ml_guard.ledger_days,
            ml_guard.stream_status, ml_guard.dead_letters, ml_guard.traffic_hour_utc, ml_guard.traffic_day_utc,
            ml_guard.traffic_minute
            to ml_guard_reader;
    end if;
    if exists (select from pg_catalog.pg_roles where rolname = 'ml_guard_api') then
        grant usage on schema ml_guard to ml_guard_api;
        grant select, insert, update, delete on all tables in schema ml_guard to ml_guard_api;
        revoke insert, update, delete on ml_guard.migration from ml_guard_api;
        grant usage on all sequences in schema ml_guard to ml_guard_api;
    end if;
end
$$;
