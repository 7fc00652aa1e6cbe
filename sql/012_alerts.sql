-- Alerts: policies, episodes, the messages about them, and how far the results have been looked at.

-- '*' stands for every project, model, endpoint or feature; of one name the narrowest policy holds.
create table ml_guard.alert_policy (
    name text not null,
    project_id text not null default '*',
    model_id text not null default '*',
    endpoint text not null default '*',
    feature text not null default '*',
    condition text not null,
    threshold double precision,
    days integer check (days between 1 and 14),
    minutes integer check (minutes between 1 and 1440),
    percentile double precision check (percentile in (0.5, 0.9, 0.95, 0.99)),
    local_time text check (local_time ~ '^([01][0-9]|2[0-3]):[0-5][0-9]$'),
    open_day boolean not null default false,
    severity text not null check (severity in ('info', 'warning', 'critical')),
    cooldown_minutes integer not null check (cooldown_minutes >= 1),
    channels text[],
    enabled boolean not null default true,
    updated_at timestamptz not null default now(),
    updated_by text not null default '',
    primary key (name, project_id, model_id, endpoint, feature)
);

-- An episode: opened once, updated silently, reminded of, resolved.
create table ml_guard.alert (
    alert_id text not null,
    opened_at timestamptz not null,
    project_id text not null,
    model_id text not null,
    endpoint text not null,
    policy text not null,
    condition text not null,
    severity text not null,
    channels text[],
    state text not null check (state in ('open', 'resolved')),
    headline text not null,
    since timestamptz not null,
    zone text not null,
    day date,
    day_start timestamptz,
    revision integer,
    provisional boolean not null default false,
    details jsonb not null,
    found_at timestamptz not null,
    notified_at timestamptz not null,
    resolved_at timestamptz,
    resolution text,
    acknowledged_at timestamptz,
    acknowledged_by text,
    muted_until timestamptz,
    muted_by text,
    primary key (alert_id, opened_at)
) with (fillfactor = 70);
select create_hypertable('ml_guard.alert', by_range('opened_at', interval '90 days'), create_default_indexes => false);
create index alert_order on ml_guard.alert (opened_at, alert_id);
create index alert_of on ml_guard.alert (project_id, model_id, endpoint, policy, opened_at);
create index alert_open on ml_guard.alert (project_id, model_id, endpoint) where state = 'open';

-- Messages: written in the transaction that changes the episodes, sent after it, kept as the delivery log.
create table ml_guard.alert_delivery (
    number bigint generated always as identity primary key,
    message_id text not null unique,
    channel text not null,
    project_id text not null,
    model_id text not null,
    endpoint text not null,
    alert_ids text[] not null,
    subject text not null,
    message jsonb not null,
    status text not null default 'pending' check (status in ('pending', 'sent', 'failed')),
    attempts integer not null default 0,
    created_at timestamptz not null,
    next_attempt_at timestamptz not null,
    last_attempt_at timestamptz,
    last_error text,
    sent_at timestamptz
) with (fillfactor = 70);
create index alert_delivery_pending on ml_guard.alert_delivery (channel, number) where status = 'pending';
create index alert_delivery_alerts on ml_guard.alert_delivery using gin (alert_ids);

create table ml_guard.alert_position (
    change_id bigint not null,
    only_row boolean primary key default true check (only_row)
);
insert into ml_guard.alert_position (change_id) values (0);

comment on table ml_guard.alert_policy is 'What is alerted on, where it differs from the defaults (docs/alerts.md); of one name the narrowest policy holds.';
comment on column ml_guard.alert_policy.name is 'What the policy is called; a default''s name replaces that default.';
comment on column ml_guard.alert_policy.project_id is 'The project; * for all.';
comment on column ml_guard.alert_policy.model_id is 'The model; * for all.';
comment on column ml_guard.alert_policy.endpoint is 'The model''s endpoint; * for all.';
comment on column ml_guard.alert_policy.feature is 'The feature; * for all.';
comment on column ml_guard.alert_policy.condition is 'What is looked for, in one word (docs/alerts.md).';
comment on column ml_guard.alert_policy.threshold is 'From which value on; its unit is the condition''s.';
comment on column ml_guard.alert_policy.days is 'How many closed days in a row.';
comment on column ml_guard.alert_policy.minutes is 'How many minutes of silence.';
comment on column ml_guard.alert_policy.percentile is 'Which percentile of the latency.';
comment on column ml_guard.alert_policy.local_time is 'By when events of the day are expected, HH:MM in the project''s zone.';
comment on column ml_guard.alert_policy.open_day is 'Whether the open day alerts as well.';
comment on column ml_guard.alert_policy.severity is 'info, warning or critical.';
comment on column ml_guard.alert_policy.cooldown_minutes is 'After how many minutes an open alert is reminded of.';
comment on column ml_guard.alert_policy.channels is 'Where messages go; null: to every channel that is set up.';
comment on column ml_guard.alert_policy.enabled is 'False: nothing is looked for here.';
comment on column ml_guard.alert_policy.updated_at is 'When it was last set.';
comment on column ml_guard.alert_policy.updated_by is 'With which key.';

comment on table ml_guard.alert is 'Alerts; each is an episode from the first finding to its end.';
comment on column ml_guard.alert.alert_id is 'Its name.';
comment on column ml_guard.alert.opened_at is 'When it was opened.';
comment on column ml_guard.alert.project_id is 'The project; empty for events of no project.';
comment on column ml_guard.alert.model_id is 'The model; empty where it is about the whole project.';
comment on column ml_guard.alert.endpoint is 'The model''s endpoint; empty where it is about the whole project.';
comment on column ml_guard.alert.policy is 'The name of the policy.';
comment on column ml_guard.alert.condition is 'What was found, in one word (docs/alerts.md).';
comment on column ml_guard.alert.severity is 'info, warning or critical.';
comment on column ml_guard.alert.channels is 'Where its messages go; null: to every channel that is set up.';
comment on column ml_guard.alert.state is 'open or resolved.';
comment on column ml_guard.alert.headline is 'What was found last, in one line.';
comment on column ml_guard.alert.since is 'Since when it has been so: the start of the first day, or of the silence.';
comment on column ml_guard.alert.zone is 'The project''s time zone.';
comment on column ml_guard.alert.day is 'The local date of the last finding.';
comment on column ml_guard.alert.day_start is 'When that day begins.';
comment on column ml_guard.alert.revision is 'The revision of that day.';
comment on column ml_guard.alert.provisional is 'Whether that day was still open.';
comment on column ml_guard.alert.details is 'The numbers: features, values and bounds, bins that moved.';
comment on column ml_guard.alert.found_at is 'When it was last found.';
comment on column ml_guard.alert.notified_at is 'When the last message about it was written.';
comment on column ml_guard.alert.resolved_at is 'When it was resolved.';
comment on column ml_guard.alert.resolution is 'Why it was resolved.';
comment on column ml_guard.alert.acknowledged_at is 'When a person took it on; it is not reminded of any more.';
comment on column ml_guard.alert.acknowledged_by is 'With which key.';
comment on column ml_guard.alert.muted_until is 'Until then no message is written about it.';
comment on column ml_guard.alert.muted_by is 'With which key.';

comment on table ml_guard.alert_delivery is 'The messages about alerts: those to send, and the log of those sent.';
comment on sequence ml_guard.alert_delivery_number_seq is 'Numbers the messages in the order in which they are written.';
comment on column ml_guard.alert_delivery.number is 'Their order.';
comment on column ml_guard.alert_delivery.message_id is 'Travels with the message, the same in every attempt, so that a receiver can tell a repetition.';
comment on column ml_guard.alert_delivery.channel is 'Where it goes.';
comment on column ml_guard.alert_delivery.project_id is 'The project.';
comment on column ml_guard.alert_delivery.model_id is 'The model; may be empty.';
comment on column ml_guard.alert_delivery.endpoint is 'The model''s endpoint; may be empty.';
comment on column ml_guard.alert_delivery.alert_ids is 'The alerts that it is about.';
comment on column ml_guard.alert_delivery.subject is 'Its first line.';
comment on column ml_guard.alert_delivery.message is 'The whole of it.';
comment on column ml_guard.alert_delivery.status is 'pending, sent, or failed: given up.';
comment on column ml_guard.alert_delivery.attempts is 'How often it was tried.';
comment on column ml_guard.alert_delivery.created_at is 'When it was written.';
comment on column ml_guard.alert_delivery.next_attempt_at is 'When it is tried next.';
comment on column ml_guard.alert_delivery.last_attempt_at is 'When it was last tried.';
comment on column ml_guard.alert_delivery.last_error is 'What went wrong last.';
comment on column ml_guard.alert_delivery.sent_at is 'When the receiver took it.';

comment on table ml_guard.alert_position is 'One row: up to which change the results of days have been looked at.';
comment on column ml_guard.alert_position.change_id is 'The last change of metric_day that was looked at.';
comment on column ml_guard.alert_position.only_row is 'Always true; keeps the table at one row.';

do $$
begin
    if exists (select from pg_catalog.pg_roles where rolname = 'ml_guard_api') then
        grant select, insert, update, delete on ml_guard.alert_policy, ml_guard.alert to ml_guard_api;
        grant select on ml_guard.alert_delivery, ml_guard.alert_position to ml_guard_api;
    end if;
end
$$;
