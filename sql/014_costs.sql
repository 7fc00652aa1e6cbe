-- What projects cost: AWS's own numbers by its UTC days, and which of an account's costs are a project's.

create table ml_guard.cost_filter (
    project_id text primary key references ml_guard.project on delete cascade,
    tags jsonb not null default '{}',
    services text[] not null default '{}',
    accounts text[] not null default '{}',
    currency text not null default 'USD' check (currency ~ '^[A-Z]{3}$'),
    updated_at timestamptz not null default now(),
    updated_by text not null default '',
    next_pull_at timestamptz not null default now(),
    pulled_at timestamptz,
    failures integer not null default 0,
    last_error text
);

-- An amount is numeric: what AWS says is kept to its last digit.
create table ml_guard.cost_day (
    project_id text not null,
    day date not null,
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    amount numeric not null,
    services jsonb not null default '{}',
    estimated boolean not null,
    pulled_at timestamptz not null,
    primary key (project_id, day, currency)
);
select create_hypertable('ml_guard.cost_day', by_range('day', interval '365 days'), create_default_indexes => false);
create index cost_day_order on ml_guard.cost_day (day, project_id, currency);

create view ml_guard.daily_costs as
select
    c.project_id, c.day,
    c.day::timestamp at time zone 'UTC' as day_start,
    (c.day + 1)::timestamp at time zone 'UTC' as day_end,
    c.currency, c.amount, coalesce(t.requests, 0) as requests,
    c.amount * 1000 / nullif(t.requests, 0) as cost_per_1000,
    c.services, c.estimated, c.pulled_at
from ml_guard.cost_day c
left join (
    select project_id, day_start, sum(requests)::bigint as requests
    from ml_guard.traffic_day_utc
    group by project_id, day_start
) t on t.project_id = c.project_id and t.day_start = c.day::timestamp at time zone 'UTC';

-- A policy on costs may look at the rise instead of the amount.
alter table ml_guard.alert_policy add column rise_percent double precision check (rise_percent > 0);
comment on column ml_guard.alert_policy.rise_percent is 'By how many per cent above the mean of the days before.';

comment on table ml_guard.cost_filter is 'Which of an AWS account''s costs are a project''s, and when they are asked for next.';
comment on column ml_guard.cost_filter.project_id is 'The project.';
comment on column ml_guard.cost_filter.tags is 'Cost allocation tags, each with the values of which one must be there.';
comment on column ml_guard.cost_filter.services is 'AWS services by Cost Explorer''s names; empty: all.';
comment on column ml_guard.cost_filter.accounts is 'Linked accounts, twelve digits each; empty: all.';
comment on column ml_guard.cost_filter.currency is 'The currency that alerts look at: the one that AWS bills in.';
comment on column ml_guard.cost_filter.updated_at is 'When it was last set; days that were pulled before are pulled again.';
comment on column ml_guard.cost_filter.updated_by is 'With which key.';
comment on column ml_guard.cost_filter.next_pull_at is 'When the schedule asks AWS next.';
comment on column ml_guard.cost_filter.pulled_at is 'When AWS last answered the schedule.';
comment on column ml_guard.cost_filter.failures is 'How often in a row it did not.';
comment on column ml_guard.cost_filter.last_error is 'Why it did not the last time; null: it did.';

comment on table ml_guard.cost_day is 'What a project cost on a UTC day, as AWS says; read it through daily_costs.';
comment on column ml_guard.cost_day.project_id is 'The project.';
comment on column ml_guard.cost_day.day is 'AWS''s day, which is UTC''s and not the project''s zone''s.';
comment on column ml_guard.cost_day.currency is 'The currency of the amount; a day has a row for each.';
comment on column ml_guard.cost_day.amount is 'The unblended cost, exactly as AWS says.';
comment on column ml_guard.cost_day.services is 'Its parts by AWS service, as text so that no digit is lost.';
comment on column ml_guard.cost_day.estimated is 'Whether AWS may still change it: the bill is not final.';
comment on column ml_guard.cost_day.pulled_at is 'When AWS was asked.';

comment on view ml_guard.daily_costs is
    'A row for each UTC day and currency: what a project cost on AWS, and its traffic of the same UTC day.';
comment on column ml_guard.daily_costs.project_id is 'The project.';
comment on column ml_guard.daily_costs.day is 'AWS''s day, which is UTC''s and not the project''s zone''s.';
comment on column ml_guard.daily_costs.day_start is 'When the UTC day begins.';
comment on column ml_guard.daily_costs.day_end is 'When the UTC day ends; the first instant after it.';
comment on column ml_guard.daily_costs.currency is 'The currency of the amount; a day has a row for each.';
comment on column ml_guard.daily_costs.amount is 'The unblended cost, exactly as AWS says.';
comment on column ml_guard.daily_costs.requests is 'Events of the project on that UTC day, of all models.';
comment on column ml_guard.daily_costs.cost_per_1000 is 'amount for every 1,000 of these requests; null without any.';
comment on column ml_guard.daily_costs.services is 'The parts of the amount by AWS service, as text so that no digit is lost.';
comment on column ml_guard.daily_costs.estimated is 'Whether AWS may still change it: the bill is not final.';
comment on column ml_guard.daily_costs.pulled_at is 'When AWS was asked.';

do $$
begin
    if exists (select from pg_catalog.pg_roles where rolname = 'ml_guard_reader') then
        grant select on ml_guard.daily_costs to ml_guard_reader;
    end if;
    if exists (select from pg_catalog.pg_roles where rolname = 'ml_guard_api') then
        grant select, insert, update, delete on ml_guard.cost_filter, ml_guard.cost_day to ml_guard_api;
        grant select on ml_guard.daily_costs to ml_guard_api;
    end if;
end
$$;
