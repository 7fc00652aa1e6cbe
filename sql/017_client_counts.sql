-- What clients say of their events: sent, retried, and lost before anything of ours saw them.

-- A client's counts of a day only grow, so the largest that was reported is kept; client_id '' is the sum of older ones.
create table ml_guard.client_count (
    project_id text not null,
    day date not null,
    client_id text not null,
    outcome text not null check (outcome in ('sent', 'retried', 'dropped')),
    reason text not null,
    events bigint not null check (events >= 0),
    reported_at timestamptz not null default now(),
    primary key (project_id, day, client_id, outcome, reason)
);
create index client_count_open on ml_guard.client_count (day) where client_id <> '';

create view ml_guard.client_days as
select project_id, day, outcome, reason, sum(events)::bigint as events, max(reported_at) as reported_at
from ml_guard.client_count
group by project_id, day, outcome, reason;

comment on table ml_guard.client_count is 'What each client says became of its events, by UTC day.';
comment on column ml_guard.client_count.project_id is 'The project; empty where an event named none.';
comment on column ml_guard.client_count.day is 'UTC day on which it happened, by the client''s clock.';
comment on column ml_guard.client_count.client_id is 'A client of a process; empty: the sum of all, once they report no more.';
comment on column ml_guard.client_count.outcome is 'sent: acknowledged. retried: requests made again. dropped: lost.';
comment on column ml_guard.client_count.reason is 'Why they were lost; empty otherwise.';
comment on column ml_guard.client_count.events is 'How many.';
comment on column ml_guard.client_count.reported_at is 'When the client last said so.';

comment on view ml_guard.client_days is 'What clients say became of their events, by project and UTC day.';
comment on column ml_guard.client_days.project_id is 'The project; empty where an event named none.';
comment on column ml_guard.client_days.day is 'UTC day on which it happened, by the clients'' clocks.';
comment on column ml_guard.client_days.outcome is 'sent: acknowledged. retried: requests made again. dropped: lost.';
comment on column ml_guard.client_days.reason is 'Why they were lost; empty otherwise.';
comment on column ml_guard.client_days.events is 'How many, of all clients.';
comment on column ml_guard.client_days.reported_at is 'When a client last said so.';

do $$
begin
    if exists (select from pg_catalog.pg_roles where rolname = 'ml_guard_reader') then
        grant select on ml_guard.client_days to ml_guard_reader;
    end if;
    if exists (select from pg_catalog.pg_roles where rolname = 'ml_guard_api') then
        grant select, insert, update, delete on ml_guard.client_count to ml_guard_api;
        grant select on ml_guard.client_days to ml_guard_api;
    end if;
end
$$;
