-- What is left of a project that was deleted: a receipt.

create table ml_guard.deletion_receipt (
    receipt_id text primary key,
    project text not null,
    deleted_at timestamptz not null default now(),
    deleted_by text not null,
    rows jsonb not null,
    topics jsonb not null
);
comment on table ml_guard.deletion_receipt is 'What was removed with each project that was deleted, and what stays in Kafka until when.';
comment on column ml_guard.deletion_receipt.receipt_id is 'The receipt.';
comment on column ml_guard.deletion_receipt.project is 'The project that was deleted.';
comment on column ml_guard.deletion_receipt.deleted_at is 'When.';
comment on column ml_guard.deletion_receipt.deleted_by is 'The id of the key that did it.';
comment on column ml_guard.deletion_receipt.rows is 'How many rows of each table were removed.';
comment on column ml_guard.deletion_receipt.topics is 'Each topic that may still hold its events, and until when; null: until somebody deletes them.';

do $$
begin
    if exists (select from pg_catalog.pg_roles where rolname = 'ml_guard_api') then
        grant select, insert on ml_guard.deletion_receipt to ml_guard_api;
    end if;
end
$$;
