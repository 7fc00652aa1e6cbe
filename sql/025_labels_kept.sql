-- What a day's labels come to beyond those that are counted exactly.

alter table ml_guard.feature_day add column not_kept bigint, add column label_error bigint;
comment on column ml_guard.feature_day.not_kept is 'Text and boolean: of so many values, at most, the label is not kept; 0: exact.';
comment on column ml_guard.feature_day.label_error is 'Text and boolean: how far the bounds of a label''s count are apart at most; 0: exact.';

create or replace view ml_guard.daily_features as
select
    project_id, model_id, endpoint, feature, kind, day, day_start, day_end, zone, revision, status,
    n, missing, missing_rate, non_finite, minimum, maximum, mean, stddev,
    p01, p05, p25, p50, p75, p90, p95, p99, rank_error, distinct_count, exact, top, updated_at,
    not_kept, label_error
from ml_guard.feature_day;
comment on column ml_guard.daily_features.not_kept is 'Text and boolean: of so many values, at most, the label is not kept; 0: exact.';
comment on column ml_guard.daily_features.label_error is 'Text and boolean: how far the bounds of a label''s count are apart at most; 0: exact.';
