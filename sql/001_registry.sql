-- Who sends: projects with the history of their zones, models, keys, settings per feature.

create schema if not exists ml_guard;

create table ml_guard.project (
    project_id text primary key,
    name text not null default '',
    dedupe_by_event_id boolean not null default false,
    created_at timestamptz not null default now()
);

-- A zone holds from `effective_from` (always a day's start in it) until the next row's.
create table ml_guard.project_zone (
    project_id text not null references ml_guard.project on delete cascade,
    effective_from timestamptz not null,
    zone text not null,
    created_at timestamptz not null default now(),
    primary key (project_id, effective_from)
);

create table ml_guard.model (
    project_id text not null references ml_guard.project on delete cascade,
    model_id text not null,
    endpoint text not null,
    first_seen_at timestamptz not null default now(),
    primary key (project_id, model_id, endpoint)
);

create table ml_guard.api_key (
    key_id text primary key,
    name text not null,
    key_sha256 bytea not null unique,
    scopes text[] not null,
    project_ids text[],
    created_at timestamptz not null default now(),
    revoked_at timestamptz
);

-- '*' stands for every endpoint or every feature; the most specific row wins, field by field.
create table ml_guard.feature_setting (
    project_id text not null references ml_guard.project on delete cascade,
    model_id text not null default '*',
    endpoint text not null default '*',
    feature text not null default '*',
    kind text check (kind in ('numeric', 'categorical', 'boolean')),
    bins integer check (bins between 2 and 100),
    warning double precision check (warning > 0),
    drift double precision check (drift > 0),
    ignored boolean,
    updated_at timestamptz not null default now(),
    primary key (project_id, model_id, endpoint, feature)
);

-- One row: raised by every change that workers must see.
create table ml_guard.catalog (
    generation bigint not null,
    only_row boolean primary key default true check (only_row)
);
insert into ml_guard.catalog (generation) values (1);

create function ml_guard.raise_catalog_generation() returns trigger language plpgsql as $$
begin
    update ml_guard.catalog set generation = generation + 1;
    return null;
end
$$;

create trigger project_changed after insert or update or delete on ml_guard.project
    for each statement execute function ml_guard.raise_catalog_generation();
create trigger project_zone_changed after insert or update or delete on ml_guard.project_zone
    for each statement execute function ml_guard.raise_catalog_generation();
create trigger feature_setting_changed after insert or update or delete on ml_guard.feature_setting
    for each statement execute function ml_guard.raise_catalog_generation();

comment on schema ml_guard is
    'ML Guard. The views and functions are an interface for people with SQL and for dashboards (docs/sql.md); the tables are not.';
comment on table ml_guard.project is 'Who sends events: a tenant, with time zones and settings of its own.';
comment on column ml_guard.project.project_id is 'The name that events carry.';
comment on column ml_guard.project.name is 'A name for people.';
comment on column ml_guard.project.dedupe_by_event_id is 'Whether events that repeat an event_id are discarded; its cost grows with traffic.';
comment on column ml_guard.project.created_at is 'When it was created.';

comment on table ml_guard.project_zone is 'The time zones that a project has had; days are cut by them.';
comment on column ml_guard.project_zone.project_id is 'The project.';
comment on column ml_guard.project_zone.effective_from is 'From when the zone holds, always a day''s start in it; -infinity for the first.';
comment on column ml_guard.project_zone.zone is 'An IANA time zone.';
comment on column ml_guard.project_zone.created_at is 'When it was set.';

comment on table ml_guard.model is 'Models and their endpoints, as events have named them.';
comment on column ml_guard.model.project_id is 'The project.';
comment on column ml_guard.model.model_id is 'The model.';
comment on column ml_guard.model.endpoint is 'The model''s endpoint.';
comment on column ml_guard.model.first_seen_at is 'When the first event of it was read.';

comment on table ml_guard.api_key is 'Keys of the API; only their hashes are kept.';
comment on column ml_guard.api_key.key_id is 'The part of the key that is no secret.';
comment on column ml_guard.api_key.name is 'A name for people.';
comment on column ml_guard.api_key.key_sha256 is 'The hash of the whole key.';
comment on column ml_guard.api_key.scopes is 'What it may do: ingest, read, operate, admin.';
comment on column ml_guard.api_key.project_ids is 'The projects that it is for; null: every project.';
comment on column ml_guard.api_key.created_at is 'When it was made.';
comment on column ml_guard.api_key.revoked_at is 'From when it is refused.';

comment on table ml_guard.feature_setting is 'How features are to be scored; frozen into a baseline when it is captured.';
comment on column ml_guard.feature_setting.project_id is 'The project.';
comment on column ml_guard.feature_setting.model_id is 'The model; * for all.';
comment on column ml_guard.feature_setting.endpoint is 'The endpoint; * for all.';
comment on column ml_guard.feature_setting.feature is 'The feature; * for all.';
comment on column ml_guard.feature_setting.kind is 'The kind that its values are taken as; null: as they come.';
comment on column ml_guard.feature_setting.bins is 'How many quantile bins a numeric baseline gets.';
comment on column ml_guard.feature_setting.warning is 'The PSI from which a significant change is a warning.';
comment on column ml_guard.feature_setting.drift is 'The PSI from which a significant change is drift.';
comment on column ml_guard.feature_setting.ignored is 'Whether it is left unscored.';
comment on column ml_guard.feature_setting.updated_at is 'When it was last set.';

comment on table ml_guard.catalog is 'One row: how often anything has changed that workers must see; they poll it.';
comment on column ml_guard.catalog.generation is 'Raised by every such change.';
comment on column ml_guard.catalog.only_row is 'Always true; keeps the table at one row.';
comment on function ml_guard.raise_catalog_generation() is 'Tells workers that something they read has changed.';
