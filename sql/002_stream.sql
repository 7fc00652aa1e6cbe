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

comment on table ml_guard.stream_fence is
    'A partition''s position and owner. It is moved in the transaction that writes what was read, and decides what is durable; Kafka''s committed offset is a hint.';
comment on column ml_guard.stream_fence.topic is 'The Kafka topic.';
comment on column ml_guard.stream_fence."partition" is 'Its partition.';
comment on column ml_guard.stream_fence.epoch is 'Raised by every claim; writes of an older epoch are refused.';
comment on column ml_guard.stream_fence.first_offset is 'Where reading began.';
comment on column ml_guard.stream_fence.next_offset is 'Everything before it is in the database, or accounted for in records_*.';
comment on column ml_guard.stream_fence.log_identity is 'What tells this log from another under the same name.';
comment on column ml_guard.stream_fence.owner is 'The worker that claimed it last.';
comment on column ml_guard.stream_fence.heartbeat_at is 'When its owner was last heard of.';
comment on column ml_guard.stream_fence.catalog_generation is 'The generation of the catalog that its owner works with.';
comment on column ml_guard.stream_fence.stopped_reason is 'Why it stands still and waits for a person; null: it does not.';
comment on column ml_guard.stream_fence.records_decoded is 'Records that were read as events.';
comment on column ml_guard.stream_fence.records_dead is 'Records that are dead letters as a whole.';
comment on column ml_guard.stream_fence.records_duplicate is 'Records of batches that had been seen.';
comment on column ml_guard.stream_fence.records_lost is 'Offsets that the log no longer has, accepted as lost by a person.';
comment on column ml_guard.stream_fence.records_empty is 'Offsets without a payload: control records, gaps, tombstones.';

comment on table ml_guard.seen_batch is 'Batches that were read, so that a client''s retry is discarded; kept for 7 days.';
comment on column ml_guard.seen_batch.project_id is 'The project.';
comment on column ml_guard.seen_batch.batch_id is 'The client''s name for the batch.';
comment on column ml_guard.seen_batch.part is 'Which part, where the bridge had to split it.';
comment on column ml_guard.seen_batch.appended_at is 'When the broker appended it.';
comment on column ml_guard.seen_batch.topic is 'The topic it was read from.';
comment on column ml_guard.seen_batch."partition" is 'The partition it was read from.';
comment on column ml_guard.seen_batch."offset" is 'The offset it was read from.';

comment on table ml_guard.dead_letter is 'Events that could not be counted, and why; their bytes are in the dead letter topic.';
comment on column ml_guard.dead_letter.topic is 'The topic it was read from.';
comment on column ml_guard.dead_letter."partition" is 'The partition it was read from.';
comment on column ml_guard.dead_letter."offset" is 'The offset it was read from.';
comment on column ml_guard.dead_letter.event_index is 'Which event of the record.';
comment on column ml_guard.dead_letter.project_id is 'The project it named, as far as it could be read.';
comment on column ml_guard.dead_letter.reason is 'Why, in one word (docs/event.md).';
comment on column ml_guard.dead_letter.detail is 'Why, in a sentence.';
comment on column ml_guard.dead_letter.appended_at is 'When the broker appended the record.';
comment on column ml_guard.dead_letter.dead_partition is 'Where its bytes are: the partition of the dead letter topic.';
comment on column ml_guard.dead_letter.dead_offset is 'Where its bytes are: the offset there.';
comment on column ml_guard.dead_letter.replayed_at is 'When it was sent once more.';

comment on table ml_guard.day_change is 'Model-days that a checkpoint has changed and no rollup has read yet: the rollup''s queue.';
comment on column ml_guard.day_change.project_id is 'The project.';
comment on column ml_guard.day_change.model_id is 'The model.';
comment on column ml_guard.day_change.endpoint is 'The model''s endpoint.';
comment on column ml_guard.day_change.day_start is 'When the local day begins.';
comment on column ml_guard.day_change.shard is 'The partition that changed it; -1: something else than events did.';
comment on column ml_guard.day_change.next_offset is 'The partition''s position with that change.';
comment on column ml_guard.day_change.changed_at is 'When the worker changed it.';

comment on table ml_guard.day_close is 'The local days of projects and how far they have been closed.';
comment on column ml_guard.day_close.project_id is 'The project.';
comment on column ml_guard.day_close.day_start is 'When the local day begins.';
comment on column ml_guard.day_close.day is 'The local date.';
comment on column ml_guard.day_close.day_end is 'When the local day ends; the first instant after it.';
comment on column ml_guard.day_close.zone is 'The time zone that cut it.';
comment on column ml_guard.day_close.first_seen_at is 'When a worker had its first event.';
comment on column ml_guard.day_close.status is 'open, closing (waits for its barrier) or closed.';
comment on column ml_guard.day_close.revision is '0 while open, 1 when closed, more when late events restated it.';
comment on column ml_guard.day_close.complete is 'False: it closed although a partition stood still.';
comment on column ml_guard.day_close.blocked_partitions is 'The partitions that stood still.';
comment on column ml_guard.day_close.barrier is 'The offsets by partition that the stream must pass before it closes.';
comment on column ml_guard.day_close.barrier_at is 'When the barrier was taken.';
comment on column ml_guard.day_close.reopened_at is 'When events came after it had closed; null: they are in.';
comment on column ml_guard.day_close.last_change_at is 'When its state changed last.';
comment on column ml_guard.day_close.closed_at is 'When its latest revision was written.';

comment on table ml_guard.lease is 'Work that one process at a time does.';
comment on column ml_guard.lease.name is 'The work.';
comment on column ml_guard.lease.holder is 'Who does it.';
comment on column ml_guard.lease.epoch is 'Raised by every new holder; writes of an older epoch are refused.';
comment on column ml_guard.lease.expires_at is 'When another may take it.';

comment on table ml_guard.ledger_day is
    'Events by project and local day as they were decoded; what the sketches hold is counted elsewhere, so the two can disagree.';
comment on column ml_guard.ledger_day.project_id is 'The project; empty: the events could not be attributed to one.';
comment on column ml_guard.ledger_day.day_start is 'When the local day begins; -infinity: the events could not be attributed to one.';
comment on column ml_guard.ledger_day.shard is 'The partition they were read from.';
comment on column ml_guard.ledger_day.day is 'The local date.';
comment on column ml_guard.ledger_day.decoded is 'Events that were read.';
comment on column ml_guard.ledger_day.dead is 'Events that became dead letters.';
comment on column ml_guard.ledger_day.duplicate is 'Events of batches that had been seen.';
comment on column ml_guard.ledger_day.deleted is 'Events that were counted and then removed on request.';
