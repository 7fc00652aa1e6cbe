-- How far the stream has come: fences, batches seen, dead letters, changed days, day closing, ledgers.

-- A partition's position and owner. It decides what is durable; Kafka's committed offset is a hint.
create table ml_guard.stream_fence (
    topic text not null,
    "partition" integer not null,
    epoch bigint not null default 0,
    first_offset bigint not null default 0,
    next_offset bigint not null default 0,
    log_identity text,
    owner text,
    heartbeat_at timestamptz,
    catalog_generation bigint not null default 0,
    stopped_reason text,
    records_decoded bigint not null default 0,
    records_dead bigint not null default 0,
    records_duplicate bigint not null default 0,
    records_lost bigint not null default 0,
    records_empty bigint not null default 0,
    primary key (topic, "partition")
) with (fillfactor = 50);

create table ml_guard.seen_batch (
    project_id text not null,
    batch_id text not null,
    part integer not null default 0,
    appended_at timestamptz not null,
    topic text not null,
    "partition" integer not null,
    "offset" bigint not null,
    primary key (project_id, batch_id, part)
);
create index seen_batch_appended_at on ml_guard.seen_batch (appended_at);

-- An index of the dead letter topic; the bytes themselves are there.
create table ml_guard.dead_letter (
    topic text not null,
    "partition" integer not null,
    "offset" bigint not null,
    event_index integer not null,
    project_id text,
    reason text not null,
    detail text not null,
    appended_at timestamptz not null,
    dead_partition integer not null,
    dead_offset bigint not null,
    replayed_at timestamptz,
    primary key (topic, "partition", "offset", event_index)
);
create index dead_letter_project on ml_guard.dead_letter (project_id, appended_at desc);

-- Model-days that a checkpoint changed and no rollup has read yet; one row a shard, so that workers never meet.
create table ml_guard.day_change (
    project_id text not null,
    model_id text not null,
    endpoint text not null,
    day_start timestamptz not null,
    shard integer not null,
    next_offset bigint not null,
    changed_at timestamptz not null,
    primary key (project_id, model_id, endpoint, day_start, shard)
) with (fillfactor = 50);

create table ml_guard.day_close (
    project_id text not null,
    day_start timestamptz not null,
    day date not null,
    day_end timestamptz not null,
    zone text not null,
    first_seen_at timestamptz not null default now(),
    status text not null default 'open' check (status in ('open', 'closing', 'closed')),
    revision integer not null default 0,
    complete boolean not null default true,
    blocked_partitions integer[] not null default '{}',
    barrier jsonb,
    barrier_at timestamptz,
    reopened_at timestamptz,
    last_change_at timestamptz,
    closed_at timestamptz,
    primary key (project_id, day_start)
) with (fillfactor = 70);
create index day_close_unfinished on ml_guard.day_close (day_end)
    where status <> 'closed' or reopened_at is not null or not complete;

-- Leader work: one holder at a time, fenced by its epoch.
create table ml_guard.lease (
    name text primary key,
    holder text,
    epoch bigint not null default 0,
    expires_at timestamptz not null default '-infinity'
);
insert into ml_guard.lease (name) values ('closer');

-- Events by project and day as the decoder counted them; what the sketches hold is counted elsewhere, so the two can disagree.
-- `project_id` '' and `day_start` '-infinity' are the unattributed bucket.
create table ml_guard.ledger_day (
    project_id text not null,
    day_start timestamptz not null,
    shard integer not null,
    day date,
    decoded bigint not null default 0,
    dead bigint not null default 0,
    duplicate bigint not null default 0,
    deleted bigint not null default 0,
    primary key (project_id, day_start, shard)
) with (fillfactor = 50);
