-- Traffic and latency percentiles over any range, to the minute, from days and hours where they fit and minutes at the ends.

-- Bounds: `range_start` <= hours_start <= days_start <= days_end <= hours_end <= `range_end`. Levels that the range holds
-- nothing of are not asked: planning them costs more than the minutes of an hour.
create function ml_guard.traffic_between(
    project_id text, model_id text, endpoint text, range_start timestamptz, range_end timestamptz,
    out requests bigint, out latency_n bigint, out latency_sum_ms double precision,
    out latency_low smallint, out latency_counts bigint[])
language plpgsql stable parallel safe as $$
declare
    hours_start timestamptz := date_trunc('hour', range_start + interval '1 hour' - interval '1 microsecond', 'UTC');
    hours_end timestamptz := date_trunc('hour', range_end, 'UTC');
    days_start timestamptz := date_trunc('day', range_start + interval '24 hours' - interval '1 microsecond', 'UTC');
    days_end timestamptz := date_trunc('day', range_end, 'UTC');
begin
    if hours_start > hours_end then
        hours_start := range_end;
        hours_end := range_end;
    end if;
    if days_start > days_end then
        days_start := hours_end;
        days_end := hours_end;
    end if;
    select coalesce(sum(t.requests), 0), coalesce(sum(t.latency_n), 0), coalesce(sum(t.latency_sum_ms), 0),
           min(t.latency_low), ml_guard.histogram_sum(t.latency_low, t.latency_counts)
    into requests, latency_n, latency_sum_ms, latency_low, latency_counts
    from (
        select m.requests, m.latency_n, m.latency_sum_ms, m.latency_low, m.latency_counts
        from ml_guard.traffic_minute m
        where m.project_id = traffic_between.project_id and m.model_id = traffic_between.model_id
          and (traffic_between.endpoint is null or m.endpoint = traffic_between.endpoint)
          and m.minute >= range_start and m.minute < hours_start
        union all
        select m.requests, m.latency_n, m.latency_sum_ms, m.latency_low, m.latency_counts
        from ml_guard.traffic_minute m
        where m.project_id = traffic_between.project_id and m.model_id = traffic_between.model_id
          and (traffic_between.endpoint is null or m.endpoint = traffic_between.endpoint)
          and m.minute >= hours_end and m.minute < range_end
    ) t;
    if hours_start < hours_end then
        select coalesce(sum(t.requests), 0), coalesce(sum(t.latency_n), 0), coalesce(sum(t.latency_sum_ms), 0),
               min(t.latency_low), ml_guard.histogram_sum(t.latency_low, t.latency_counts)
        into requests, latency_n, latency_sum_ms, latency_low, latency_counts
        from (
            select traffic_between.requests, traffic_between.latency_n, traffic_between.latency_sum_ms,
                   traffic_between.latency_low, traffic_between.latency_counts
            union all
            select h.requests, h.latency_n, h.latency_sum_ms, h.latency_low, h.latency_counts
            from ml_guard.traffic_hour_utc h
            where h.project_id = traffic_between.project_id and h.model_id = traffic_between.model_id
              and (traffic_between.endpoint is null or h.endpoint = traffic_between.endpoint)
              and h.hour >= hours_start and h.hour < days_start
            union all
            select h.requests, h.latency_n, h.latency_sum_ms, h.latency_low, h.latency_counts
            from ml_guard.traffic_hour_utc h
            where h.project_id = traffic_between.project_id and h.model_id = traffic_between.model_id
              and (traffic_between.endpoint is null or h.endpoint = traffic_between.endpoint)
              and h.hour >= days_end and h.hour < hours_end
        ) t;
    end if;
    if days_start < days_end then
        select coalesce(sum(t.requests), 0), coalesce(sum(t.latency_n), 0), coalesce(sum(t.latency_sum_ms), 0),
               min(t.latency_low), ml_guard.histogram_sum(t.latency_low, t.latency_counts)
        into requests, latency_n, latency_sum_ms, latency_low, latency_counts
        from (
            select traffic_between.requests, traffic_between.latency_n, traffic_between.latency_sum_ms,
                   traffic_between.latency_low, traffic_between.latency_counts
            union all
            select d.requests, d.latency_n, d.latency_sum_ms, d.latency_low, d.latency_counts
            from ml_guard.traffic_day_utc d
            where d.project_id = traffic_between.project_id and d.model_id = traffic_between.model_id
              and (traffic_between.endpoint is null or d.endpoint = traffic_between.endpoint)
              and d.day_start >= days_start and d.day_start < days_end
        ) t;
    end if;
end
$$;
comment on function ml_guard.traffic_between(text, text, text, timestamptz, timestamptz) is
    'Requests, latencies and the latency histogram of a model in [range_start, range_end), to the minute; endpoint null: all of them.';

create function ml_guard.latency_percentiles(
    project_id text, model_id text, endpoint text, range_start timestamptz, range_end timestamptz,
    ps double precision[])
returns table (p double precision, latency_ms double precision)
language sql stable parallel safe
begin atomic
    select a.p, a.latency_ms
    from ml_guard.traffic_between(
             latency_percentiles.project_id, latency_percentiles.model_id, latency_percentiles.endpoint,
             latency_percentiles.range_start, latency_percentiles.range_end) t,
         unnest(latency_percentiles.ps,
                ml_guard.histogram_percentiles(t.latency_low, t.latency_counts, latency_percentiles.ps)) as a(p, latency_ms);
end;
comment on function ml_guard.latency_percentiles(text, text, text, timestamptz, timestamptz, double precision[]) is
    'Latency percentiles of a model in [range_start, range_end), to the minute, each within 2 %; a row for each share in ps (0.95 for p95); endpoint null: all of them.';

create function ml_guard.latency_percentile(
    project_id text, model_id text, endpoint text, range_start timestamptz, range_end timestamptz,
    p double precision)
returns double precision
language sql stable parallel safe
begin atomic
    select ml_guard.histogram_percentile(t.latency_low, t.latency_counts, latency_percentile.p)
    from ml_guard.traffic_between(
             latency_percentile.project_id, latency_percentile.model_id, latency_percentile.endpoint,
             latency_percentile.range_start, latency_percentile.range_end) t;
end;
comment on function ml_guard.latency_percentile(text, text, text, timestamptz, timestamptz, double precision) is
    'One latency percentile of a model in [range_start, range_end), to the minute, within 2 %; endpoint null: all of them; null without any latency.';

-- Steps are counted from range_start. Whole hours or days that begin on one are read from the aggregates.
create function ml_guard.latency_series(
    project_id text, model_id text, endpoint text, range_start timestamptz, range_end timestamptz,
    step interval, ps double precision[])
returns table (
    step_start timestamptz, step_end timestamptz, requests bigint, latency_n bigint,
    latency_mean_ms double precision, latency_ms double precision[])
language plpgsql stable parallel safe as $$
declare
    step_s double precision := extract(epoch from step);
    whole_s integer := case
        when range_start = date_trunc('day', range_start, 'UTC') and range_end = date_trunc('day', range_end, 'UTC')
             and mod(step_s::numeric, 86400) = 0 then 86400
        when range_start = date_trunc('hour', range_start, 'UTC') and range_end = date_trunc('hour', range_end, 'UTC')
             and mod(step_s::numeric, 3600) = 0 then 3600
        else 60 end;
begin
    if step_s < 60 or mod(step_s::numeric, 60) <> 0 then
        raise exception 'a step is a whole number of minutes, not %', step using errcode = '22023';
    end if;
    return query execute format(
        $query$
        select $4 + make_interval(secs => i * $6), least($4 + make_interval(secs => (i + 1) * $6), $5),
               sum(requests)::bigint, sum(latency_n)::bigint, sum(latency_sum_ms) / nullif(sum(latency_n), 0)::double precision,
               ml_guard.histogram_percentiles(min(latency_low), ml_guard.histogram_sum(latency_low, latency_counts), $7)
        from (
            select floor(extract(epoch from (t.%1$I - $4))::double precision / $6) as i,
                   t.requests, t.latency_n, t.latency_sum_ms, t.latency_low, t.latency_counts
            from ml_guard.%2$I t
            where t.project_id = $1 and t.model_id = $2 and ($3 is null or t.endpoint = $3)
              and t.%1$I >= $4 and t.%1$I < $5
        ) s
        group by i
        order by i
        $query$,
        case whole_s when 86400 then 'day_start' when 3600 then 'hour' else 'minute' end,
        case whole_s when 86400 then 'traffic_day_utc' when 3600 then 'traffic_hour_utc' else 'traffic_minute' end)
    using project_id, model_id, endpoint, range_start, range_end, step_s, ps;
end
$$;
comment on function ml_guard.latency_series(text, text, text, timestamptz, timestamptz, interval, double precision[]) is
    'Traffic and latency percentiles (in the order of ps) of a model by steps of [range_start, range_end), for a chart; steps without traffic are left out; endpoint null: all of them.';
