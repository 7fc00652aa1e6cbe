-- What people who read by SQL ask for beside the results, and nothing else that they reach: models, minutes, pages.

create table ml_guard.page_address (
    page text primary key,
    url text not null,
    updated_at timestamptz not null default now()
);
-- Where docker-compose.yml publishes it; `ml-guard migrate` writes another.
insert into ml_guard.page_address (page, url) values ('dashboard', 'http://127.0.0.1:8501');
comment on table ml_guard.page_address is 'Where people open ML Guard''s pages.';
comment on column ml_guard.page_address.page is 'Which page.';
comment on column ml_guard.page_address.url is 'Its address, without a slash at the end.';
comment on column ml_guard.page_address.updated_at is 'When it was last set.';

create view ml_guard.pages as
select page, url, updated_at from ml_guard.page_address;
comment on view ml_guard.pages is 'Where people open ML Guard''s pages: the row dashboard is what boards of others link to.';

create view ml_guard.models as
select project_id, model_id, endpoint, first_seen_at from ml_guard.model;
comment on view ml_guard.models is 'The endpoints of models that have sent events.';

create view ml_guard.traffic_minute_utc as
select
    project_id, model_id, endpoint, minute,
    sum(requests)::bigint as requests,
    sum(latency_n)::bigint as latency_n,
    sum(latency_sum_ms) as latency_sum_ms,
    min(latency_low) as latency_low,
    ml_guard.histogram_sum(latency_low, latency_counts) as latency_counts
from ml_guard.traffic_minute
group by project_id, model_id, endpoint, minute;
comment on view ml_guard.traffic_minute_utc is
    'Traffic by minute; hours and days of it are in traffic_hour_utc and traffic_day_utc.';
comment on column ml_guard.traffic_minute_utc.minute is 'When the minute begins.';
comment on column ml_guard.traffic_minute_utc.requests is 'Events of the minute, by their own timestamps.';
comment on column ml_guard.traffic_minute_utc.latency_counts is 'The histogram''s counts, from the lowest bucket on.';

-- A view's column that has its table's name means the same.
do $$
declare
    described record;
begin
    for described in
        select v.attrelid::regclass as view_name, v.attname as column_name,
               pg_catalog.col_description(t.attrelid, t.attnum) as text
        from (values ('pages', 'page_address'), ('models', 'model'), ('traffic_minute_utc', 'traffic_hour_utc'))
            as pair(of_view, of_table)
        join pg_catalog.pg_attribute v on v.attrelid = ('ml_guard.' || pair.of_view)::regclass and v.attnum > 0
        join pg_catalog.pg_attribute t on t.attrelid = ('ml_guard.' || pair.of_table)::regclass and t.attnum > 0
            and t.attname = v.attname
        where pg_catalog.col_description(v.attrelid, v.attnum) is null
    loop
        execute pg_catalog.format('comment on column %s.%I is %L',
                                  described.view_name, described.column_name, described.text);
    end loop;
end
$$;

-- Who may call these reads minutes through them, and needs no right on the table.
alter function ml_guard.traffic_between(text, text, text, timestamptz, timestamptz)
    security definer set search_path = pg_catalog;
alter function ml_guard.latency_series(text, text, text, timestamptz, timestamptz, interval, double precision[])
    security definer set search_path = pg_catalog;

do $$
begin
    if exists (select from pg_catalog.pg_roles where rolname = 'ml_guard_reader') then
        grant select on ml_guard.pages, ml_guard.models, ml_guard.traffic_minute_utc to ml_guard_reader;
        revoke select on ml_guard.traffic_minute from ml_guard_reader;
    end if;
    if exists (select from pg_catalog.pg_roles where rolname = 'ml_guard_api') then
        grant select on ml_guard.pages, ml_guard.models, ml_guard.traffic_minute_utc to ml_guard_api;
    end if;
end
$$;
