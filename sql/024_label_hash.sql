-- Category labels that are stored as keyed hashes; the key is in the settings and nowhere here.

alter table ml_guard.project add column label_key_id text;
comment on column ml_guard.project.label_key_id is 'Which key category labels are hashed with; null: labels are stored as they come.';

alter table ml_guard.baseline add column labels_hashed boolean not null default false;
comment on column ml_guard.baseline.labels_hashed is 'Whether its labels are hashes.';
