-- What clients say is theirs to say: however much it comes to, readers, gauges and the sum of old days do not fail on it.

create or replace view ml_guard.client_days as
select
    project_id, day, outcome, reason,
    least(sum(events), 9223372036854775807)::bigint as events,
    max(reported_at) as reported_at
from ml_guard.client_count
group by project_id, day, outcome, reason;
