-- Alerts for readers: a number for every write, so that the live stream can tell it, and views for people with SQL.

-- The sequence is that of metric_day: one position orders both. Whoever writes holds the closer's lease row, so
-- numbers become visible in their order.
alter table ml_guard.alert
    add column change_id bigint not null default nextval('ml_guard.result_change'),
    add column news text not null default 'opened'
        check (news in ('opened', 'updated', 'reminded', 'acknowledged', 'muted', 'unmuted', 'resolved'));
create index alert_change on ml_guard.alert (change_id);
comment on column ml_guard.alert.change_id is 'Which write it was; rises with every one.';
comment on column ml_guard.alert.news is 'What became of it last: opened, updated, reminded, acknowledged, muted, unmuted or resolved.';

-- Old rows are looked for by age.
create index dead_letter_appended on ml_guard.dead_letter (appended_at);

create view ml_guard.alerts as
select
    alert_id, project_id, model_id, endpoint, policy, condition, severity,
    case when state = 'open' and acknowledged_at is not null then 'acknowledged' else state end as state,
    headline, since, zone, day, revision, provisional,
    (details ->> 'n')::bigint as n,
    (details ->> 'baseline_version')::integer as baseline_version,
    (details ->> 'value')::double precision as value,
    (details ->> 'bound')::double precision as bound,
    case when jsonb_typeof(details -> 'features') = 'array' then jsonb_array_length(details -> 'features') else 0 end as features,
    details -> 'features' -> 0 ->> 'feature' as worst_feature,
    details -> 'features' -> 0 ->> 'moved' as moved,
    opened_at, found_at, notified_at, resolved_at, resolution,
    extract(epoch from coalesce(resolved_at, now()) - opened_at)::double precision as open_s,
    acknowledged_at, acknowledged_by, muted_until, muted_by
from ml_guard.alert;
comment on view ml_guard.alerts is 'Alerts: an episode a row, from the first finding to its end.';
comment on column ml_guard.alerts.state is 'open, acknowledged (open, and a person has taken it on) or resolved.';
comment on column ml_guard.alerts.n is 'Events of the day that was judged.';
comment on column ml_guard.alerts.baseline_version is 'The baseline that the day was compared with.';
comment on column ml_guard.alerts.value is 'What was measured, where it is one number.';
comment on column ml_guard.alerts.bound is 'From which value on it counts.';
comment on column ml_guard.alerts.features is 'How many features it is about.';
comment on column ml_guard.alerts.worst_feature is 'The feature that is furthest off.';
comment on column ml_guard.alerts.moved is 'Which of its bins moved, and by how much.';
comment on column ml_guard.alerts.open_s is 'For how many seconds it was open, or has been until now.';

create view ml_guard.alert_deliveries as
select
    message_id, channel, project_id, model_id, endpoint, alert_ids, subject, status, attempts,
    created_at, next_attempt_at, last_attempt_at, last_error, sent_at,
    extract(epoch from sent_at - created_at)::double precision as took_s
from ml_guard.alert_delivery;
comment on view ml_guard.alert_deliveries is 'Messages about alerts: a row for each message and channel, sent, waiting or given up.';
comment on column ml_guard.alert_deliveries.took_s is 'Seconds from its being written to its being taken; null: it was not.';

do $$
declare
    described record;
begin
    -- A view's column that has its table's name means the same.
    for described in
        select v.relname as view_name, a.attname as column_name, pg_catalog.col_description(t.oid, b.attnum) as text
        from (values ('alerts', 'alert'), ('alert_deliveries', 'alert_delivery')) as pair(view_name, table_name)
        join pg_catalog.pg_class v on v.relname = pair.view_name and v.relnamespace = 'ml_guard'::regnamespace
        join pg_catalog.pg_class t on t.relname = pair.table_name and t.relnamespace = 'ml_guard'::regnamespace
        join pg_catalog.pg_attribute a on a.attrelid = v.oid and a.attnum > 0
        join pg_catalog.pg_attribute b on b.attrelid = t.oid and b.attnum > 0 and b.attname = a.attname
        where pg_catalog.col_description(v.oid, a.attnum) is null
    loop
        execute pg_catalog.format('comment on column ml_guard.%I.%I is %L',
                                  described.view_name, described.column_name, described.text);
    end loop;
    if exists (select from pg_catalog.pg_roles where rolname = 'ml_guard_reader') then
        grant select on ml_guard.alerts, ml_guard.alert_deliveries to ml_guard_reader;
    end if;
    if exists (select from pg_catalog.pg_roles where rolname = 'ml_guard_api') then
        grant select on ml_guard.alerts, ml_guard.alert_deliveries to ml_guard_api;
    end if;
end
$$;
