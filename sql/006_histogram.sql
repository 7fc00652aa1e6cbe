-- Latency histograms: relative-error buckets of stream/histogram.py, stored as the lowest bucket and the dense counts from it.
--
-- With gamma = 51/49 bucket i holds the latencies in (gamma^(i-1), gamma^i] milliseconds and stands for 0.98 * gamma^i,
-- within 2 % of all of them. Bucket -173 holds everything up to just under a microsecond and stands for 0.

create function ml_guard.latency_bucket_value(bucket integer) returns double precision
language sql immutable strict parallel safe
return case when bucket <= -173 then 0 else 0.98::double precision * power(51::double precision / 49, bucket) end;
comment on function ml_guard.latency_bucket_value(integer) is
    'The latency in milliseconds that a histogram bucket stands for; within 2 % of every latency in it.';

-- The upsert's sum of a stored row and a delta. A delta is short, so walking over it beats rebuilding the array in SQL.
create function ml_guard.histogram_add(low_a smallint, counts_a integer[], low_b smallint, counts_b integer[])
returns integer[]
language plpgsql immutable parallel safe as $$
declare
    low integer := least(low_a, low_b);
    shift integer;
    gap integer;
begin
    if low_b is null or counts_b is null then return counts_a; end if;
    if low_a is null or counts_a is null then return counts_b; end if;
    if low < low_a then
        counts_a := array_fill(0, array[low_a - low]) || counts_a;
    end if;
    shift := low_b - low;
    gap := shift + cardinality(counts_b) - cardinality(counts_a);
    if gap > 0 then
        counts_a := counts_a || array_fill(0, array[gap]);
    end if;
    for i in 1 .. cardinality(counts_b) loop
        if counts_b[i] <> 0 then
            counts_a[shift + i] := counts_a[shift + i] + counts_b[i];
        end if;
    end loop;
    return counts_a;
end
$$;
comment on function ml_guard.histogram_add(smallint, integer[], smallint, integer[]) is
    'The counts of two histograms together; they begin at the lower of the two lowest buckets.';

-- An aggregate's state: the lowest bucket, then the counts. `counts` is integer[] in minutes, bigint[] in hours and days.
create function ml_guard.histogram_accumulate(state bigint[], low smallint, counts anyarray) returns bigint[]
language plpgsql immutable parallel safe as $$
declare
    shift integer;
    gap integer;
begin
    if low is null or cardinality(counts) = 0 or counts is null then return state; end if;
    if state is null then return low::bigint || counts::bigint[]; end if;
    if low < state[1] then
        state := low::bigint || array_fill(0::bigint, array[(state[1] - low)::integer]) || state[2:];
    end if;
    shift := low - state[1] + 1;
    gap := shift + cardinality(counts) - cardinality(state);
    if gap > 0 then
        state := state || array_fill(0::bigint, array[gap]);
    end if;
    for i in 1 .. cardinality(counts) loop
        if counts[i] <> 0 then
            state[shift + i] := state[shift + i] + counts[i];
        end if;
    end loop;
    return state;
end
$$;
comment on function ml_guard.histogram_accumulate(bigint[], smallint, anyarray) is
    'Adds a histogram to the state of ml_guard.histogram_sum.';

create function ml_guard.histogram_combine(state_a bigint[], state_b bigint[]) returns bigint[]
language sql immutable parallel safe
return case when state_b is null then state_a
            else ml_guard.histogram_accumulate(state_a, state_b[1]::smallint, state_b[2:]) end;
comment on function ml_guard.histogram_combine(bigint[], bigint[]) is
    'Joins two states of ml_guard.histogram_sum.';

create function ml_guard.histogram_counts(state bigint[]) returns bigint[]
language sql immutable parallel safe
return state[2:];
comment on function ml_guard.histogram_counts(bigint[]) is
    'The counts in a state of ml_guard.histogram_sum.';

create aggregate ml_guard.histogram_sum(low smallint, counts anyarray) (
    sfunc = ml_guard.histogram_accumulate,
    stype = bigint[],
    combinefunc = ml_guard.histogram_combine,
    finalfunc = ml_guard.histogram_counts,
    parallel = safe
);
comment on aggregate ml_guard.histogram_sum(smallint, anyarray) is
    'The counts of many histograms (of minutes, hours or days) together; they begin at min(low).';

-- The rank is ceil(p * n), at least 1, less a slack for what binary fractions do to p (0.07 * 100 > 7).
create function ml_guard.histogram_percentiles(low smallint, counts bigint[], ps double precision[])
returns double precision[]
language plpgsql immutable strict parallel safe as $$
declare
    total bigint := 0;
    cumulative bigint[] := '{}';
    answer double precision[] := '{}';
    p double precision;
    first integer;
    last integer;
    middle integer;
    rank double precision;
begin
    foreach p in array ps loop
        if p is null or p < 0 or p > 1 then
            raise exception 'a percentile is asked for as a share from 0 to 1, not %', p using errcode = '22003';
        end if;
    end loop;
    for i in 1 .. cardinality(counts) loop
        total := total + counts[i];
        cumulative[i] := total;
    end loop;
    if total = 0 then return null; end if;
    foreach p in array ps loop
        rank := greatest(ceil(p * total - 1e-9), 1);
        first := 1;
        last := cardinality(counts);
        while first < last loop
            middle := (first + last) / 2;
            if cumulative[middle] >= rank then last := middle; else first := middle + 1; end if;
        end loop;
        answer := answer || ml_guard.latency_bucket_value(low + first - 1);
    end loop;
    return answer;
end
$$;
comment on function ml_guard.histogram_percentiles(smallint, bigint[], double precision[]) is
    'The latencies in milliseconds at the shares ps (0.95 for p95) of a histogram, each within 2 % of the latency of rank ceil(p * n); null without any.';

create function ml_guard.histogram_percentile(low smallint, counts bigint[], p double precision)
returns double precision
language sql immutable parallel safe
return (ml_guard.histogram_percentiles(low, counts, array[p]))[1];
comment on function ml_guard.histogram_percentile(smallint, bigint[], double precision) is
    'The latency in milliseconds at the share p (0.95 for p95) of a histogram, within 2 %; null without any.';
