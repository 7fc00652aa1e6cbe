// What do PostgreSQL's background workers do, which WebAssembly has not? Checkpoints, vacuum, TimescaleDB's due jobs.

import { EngineAborted } from './engine.mjs';

const WAL_BETWEEN_CHECKPOINTS = 32 * 1024 * 1024; // keeps the log near its floor of 80 MB, and recovery under a second
const CHECKPOINT_AT_LEAST_EVERY_MS = 300_000;
const DEAD_ROWS = 500; // as autovacuum: so many, and a fifth of the table
const DEAD_SHARE = 0.2;
const NO_JOBS = ['policy_telemetry']; // it calls a server on the internet

// Counters that nobody flushes in this backend, so they count from its start: what was written since the last look.
const WRITTEN_ROWS = `
  select s.relid, format('%I.%I', s.schemaname, s.relname), s.n_tup_upd + s.n_tup_del, greatest(c.reltuples, 0)
  from pg_catalog.pg_stat_xact_all_tables s join pg_catalog.pg_class c on c.oid = s.relid
  where s.n_tup_upd + s.n_tup_del > 0 and c.relkind in ('r', 'm')`;

const JOBS = `
  select job_id, application_name, extract(epoch from schedule_interval) * 1000, proc_name
  from timescaledb_information.jobs where scheduled`;

export class Upkeep {
  #engine;
  #schedule;
  #firstJobDelayMs;
  #checkpointAt = null;
  #checkpointTime = performance.now();
  #vacuumedAt = new Map();
  #jobDueAt = new Map();
  #lookIsDue = false;
  #timer;

  /** `chore` lets a function run when no client has the backend. */
  constructor(engine, chore, { intervalMs, firstJobDelayMs }) {
    this.#engine = engine;
    this.#schedule = chore;
    this.#firstJobDelayMs = firstJobDelayMs;
    this.#timer = setInterval(() => {
      if (!this.#lookIsDue) chore(() => this.#look());
      this.#lookIsDue = true; // one at a time, however long a client keeps the backend
    }, intervalMs);
  }

  stop() {
    clearInterval(this.#timer);
  }

  /** Finds what is to be done; each piece is a chore of its own, so that clients get their turns between them. */
  #look() {
    this.#lookIsDue = false;
    for (const [id, name, written, rows] of this.#engine.select(WRITTEN_ROWS)) {
      const dead = Number(written) - (this.#vacuumedAt.get(id) ?? 0);
      if (dead < DEAD_ROWS + DEAD_SHARE * Number(rows)) continue;
      this.#vacuumedAt.set(id, Number(written));
      this.#schedule(() => this.#attempt(`vacuum ${name}`, `vacuum (analyze) ${name}`));
    }
    for (const [id, name, intervalMs, procedure] of this.#engine.select(JOBS)) {
      if (NO_JOBS.includes(procedure) || !this.#isDue(id, Number(intervalMs))) continue;
      this.#schedule(() => this.#attempt(`job ${name}`, `call public.run_job(${id})`, true));
    }
    this.#checkpoint();
  }

  #isDue(id, intervalMs) {
    const now = performance.now();
    if (!this.#jobDueAt.has(id)) this.#jobDueAt.set(id, now + Math.min(this.#firstJobDelayMs, intervalMs));
    if (this.#jobDueAt.get(id) > now) return false;
    this.#jobDueAt.set(id, now + intervalMs);
    return true;
  }

  #checkpoint() {
    const [[written]] = this.#engine.select("select pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), '0/0')");
    const now = performance.now();
    this.#checkpointAt ??= Number(written);
    const grown = Number(written) - this.#checkpointAt;
    const late = grown > 0 && now - this.#checkpointTime > CHECKPOINT_AT_LEAST_EVERY_MS;
    if (grown < WAL_BETWEEN_CHECKPOINTS && !late) return;
    this.#checkpointAt = Number(written);
    this.#checkpointTime = now;
    this.#schedule(() => this.#attempt('checkpoint', 'checkpoint'));
  }

  /** A failure here is a line in the log, never the end of the server. */
  #attempt(what, sql, tell = false) {
    const began = performance.now();
    try {
      this.#engine.select(sql);
      if (tell) console.log(`${new Date().toISOString()} ${what}: ${Math.round(performance.now() - began)} ms`);
    } catch (failure) {
      if (failure instanceof EngineAborted) throw failure;
      console.error(`${new Date().toISOString()} ${what} failed: ${failure.message}`);
    }
  }
}
