-- The receipt of a bad day that was purged: it names a model and a day, and how many events the ledger has as deleted.

alter table ml_guard.deletion_receipt
    add column model text,
    add column endpoint text,
    add column day date,
    add column events bigint;
comment on table ml_guard.deletion_receipt is
    'What was removed with each project that was deleted and each day that was purged, and what stays in Kafka until when.';
comment on column ml_guard.deletion_receipt.project is 'The project that was deleted, or whose day was purged.';
comment on column ml_guard.deletion_receipt.model is 'The model of the day that was purged; null: the whole project was deleted.';
comment on column ml_guard.deletion_receipt.endpoint is 'Its endpoint; null: all of them.';
comment on column ml_guard.deletion_receipt.day is 'The local day.';
comment on column ml_guard.deletion_receipt.events is 'How many events of it had been merged, which the ledger now has as deleted.';
