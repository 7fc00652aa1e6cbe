-- Baselines of a reference data set, and copies of another model's: they have no window of days.

alter table ml_guard.baseline
    alter column window_start drop not null,
    alter column window_end drop not null,
    add column data_name text,
    add column data_sha256 text,
    add column data_rows bigint,
    add column copied_from text;
comment on column ml_guard.baseline.window_start is 'When the first of them begins; null: there are no days.';
comment on column ml_guard.baseline.window_end is 'When the last of them ends; null: there are no days.';
comment on column ml_guard.baseline.data_name is 'The data set that it was made of; null: days.';
comment on column ml_guard.baseline.data_sha256 is 'The SHA-256 of that file, or of the columns as they were sent.';
comment on column ml_guard.baseline.data_rows is 'How many rows it had.';
comment on column ml_guard.baseline.copied_from is 'The model, endpoint and version that it is a copy of.';

create or replace view ml_guard.baselines as
select
    b.project_id, b.model_id, b.endpoint, b.version, b.active, b.days, b.window_start, b.window_end, b.events,
    (select count(*) from ml_guard.baseline_feature f
     where (f.project_id, f.model_id, f.endpoint, f.version) = (b.project_id, b.model_id, b.endpoint, b.version)) as features,
    b.captured_at, b.captured_by, b.note, b.weekdays, b.data_name, b.data_sha256, b.data_rows, b.copied_from
from ml_guard.baseline b;
comment on column ml_guard.baselines.window_start is 'When the first of them begins; null: there are no days.';
comment on column ml_guard.baselines.window_end is 'When the last of them ends; null: there are no days.';
comment on column ml_guard.baselines.data_name is 'The data set that it was made of; null: days.';
comment on column ml_guard.baselines.data_sha256 is 'The SHA-256 of that file, or of the columns as they were sent.';
comment on column ml_guard.baselines.data_rows is 'How many rows it had.';
comment on column ml_guard.baselines.copied_from is 'The model, endpoint and version that it is a copy of.';
