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
