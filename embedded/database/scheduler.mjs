// Whose turn is it? Lends the one backend to one client at a time, from its first message to the end of its transaction.

import { type } from './framing.mjs';
import * as messages from './messages.mjs';
import { effectsOf } from './statements.mjs';
import { BackendSettings, startupSettings } from './settings.mjs';
import { Notifications } from './notifications.mjs';
import { UnitRun } from './unit.mjs';
import { EngineAborted } from './engine.mjs';

const REPORTED = [
  'server_version', 'server_encoding', 'client_encoding', 'DateStyle', 'IntervalStyle', 'TimeZone', 'integer_datetimes',
  'standard_conforming_strings', 'is_superuser', 'session_authorization', 'application_name', 'in_hot_standby',
  'default_transaction_read_only',
];

const OWN_SETTINGS = startupSettings(new Map());
const POOL_RESET_ANSWER = Buffer.concat([
  ...['SELECT 1', 'CLOSE CURSOR ALL', 'UNLISTEN', 'RESET'].map(messages.commandComplete),
  messages.readyForQuery('I'),
]);

const isPoolReset = (unit) =>
  unit.messages.length === 1 && unit.messages[0][0] === type('Q') && effectsOf(messages.sqlOf(unit.messages[0])).poolReset;

export class Scheduler {
  #engine;
  #logins;
  #settings;
  #notifications;
  #idleLimitMs;
  #waiting = [];
  #departed = [];
  #chores = [];
  #choreWasLast = false;
  #holder = null;
  #idleSince = 0;
  #doing = { changes: false, listens: [] };
  #turnIsDue = false;
  #watch = null;
  #onAbort;
  #reported;

  /** `idleLimitMs`: how long a client may sit in a transaction while others wait. */
  constructor(engine, logins, { idleLimitMs, onAbort }) {
    this.#engine = engine;
    this.#logins = logins;
    this.#idleLimitMs = idleLimitMs;
    this.#onAbort = onAbort;
    this.#settings = new BackendSettings(engine);
    this.#notifications = new Notifications(engine);
    const names = REPORTED.map((name) => `'${name}'`).join(', ');
    this.#reported = engine.select(`select name, setting from pg_catalog.pg_settings where name in (${names})`);
    this.#settings.resetAll();
  }

  /** The session has a unit of work. */
  submit(session) {
    if (session !== this.#holder && !this.#waiting.includes(session)) {
      session.waitingSince = performance.now();
      this.#waiting.push(session);
    }
    this.#due();
  }

  leave(session) {
    this.#waiting = this.#waiting.filter((each) => each !== session);
    this.#departed.push(session);
    this.#due();
  }

  /** A client's cancel request: work that waits is dropped; what runs cannot be interrupted. */
  cancel(session) {
    if (!session.hasWork) return;
    this.#waiting = this.#waiting.filter((each) => each !== session);
    session.cancel('57014', 'canceling statement due to user request');
  }

  /** Runs `work` between two clients' turns. */
  chore(work) {
    this.#chores.push(work);
    this.#due();
  }

  #due() {
    if (this.#turnIsDue) return;
    this.#turnIsDue = true;
    setImmediate(() => this.#turn());
  }

  #turn() {
    this.#turnIsDue = false;
    try {
      this.#step();
    } catch (failure) {
      this.#onAbort(failure);
      return;
    }
    if (this.#holder ? this.#holder.hasWork : this.#waiting.length + this.#departed.length + this.#chores.length) this.#due();
    this.#watchIdle();
  }

  #step() {
    if (this.#holder?.closed) this.#abandon();
    if (this.#holder) {
      if (this.#holder.hasWork) this.#serve(this.#holder);
    } else if (this.#departed.length) {
      this.#cleanUp(this.#departed.shift());
    } else if (this.#chores.length && !(this.#choreWasLast && this.#waiting.length)) {
      this.#choreWasLast = true;
      this.#settings.apply(OWN_SETTINGS);
      this.#chores.shift()();
    } else if (this.#waiting.length) {
      this.#choreWasLast = false;
      this.#serve(this.#waiting.shift());
    }
  }

  #serve(session) {
    const unit = session.takeUnit();
    if (!unit) return;
    if (session !== this.#holder) {
      if (isPoolReset(unit)) {
        this.#resetSession(session);
        return;
      }
      if (unit.login && !this.#admit(session, unit.login.password)) return;
      if (!this.#lend(session)) return;
    }
    if (unit.login) {
      session.welcome(this.#report(session));
      this.#release(session);
      return;
    }
    const work = new UnitRun(this.#engine, session);
    session.send(work.run(unit));
    session.announceCopy();
    this.#note(session, work.effects);
    this.#idleSince = performance.now();
    if (work.ready && session.status === 'I') this.#release(session);
    work.notifications.forEach((each) => this.#notifications.deliver(each));
  }

  /** Whether the login is right; nobody holds the backend now, so its own catalog can be asked. */
  #admit(session, password) {
    this.#settings.apply(OWN_SETTINGS);
    const refusal = this.#logins.admit(session, password, (sql) => this.#engine.select(sql));
    if (refusal) session.end(...refusal);
    return refusal === null;
  }

  /** What asyncpg's pool asks for after each use needs no backend: other clients never see this one's settings. */
  #resetSession(session) {
    session.settings = session.defaults;
    this.#notifications.forget(session);
    session.send(POOL_RESET_ANSWER);
    if (session.hasWork) this.submit(session);
  }

  /** Gives the backend to the session; false if one of its settings is refused. */
  #lend(session) {
    try {
      this.#settings.apply(session.settings);
    } catch (failure) {
      if (failure instanceof EngineAborted) throw failure;
      this.#settings.resetAll();
      session.end('22023', failure.message);
      return false;
    }
    this.#holder = session;
    this.#doing = { changes: false, listens: [] };
    return true;
  }

  #note(session, effects) {
    for (const each of effects) {
      this.#doing.changes ||= each.changes;
      this.#doing.listens.push(...each.listens);
    }
    // Within a transaction a session's own settings must hold again from the next statement on.
    if (session.status === 'T' && effects.some((each) => each.resets)) {
      this.#settings.apply(this.#settings.read(session.defaults));
    }
  }

  #release(session) {
    this.#holder = null;
    if (this.#doing.changes) session.settings = this.#settings.read(session.defaults);
    if (this.#doing.listens.length) {
      this.#notifications.note(session, this.#doing.listens);
      if (this.#doing.listens.some(([verb]) => verb === 'unlisten')) this.#notifications.restore();
    }
    if (session.hasWork) this.submit(session);
  }

  /** The holder has gone: what it has not committed never was. */
  #abandon() {
    const session = this.#holder;
    this.#engine.run(messages.sync);
    this.#engine.select('rollback');
    this.#holder = null;
    if (this.#doing.changes) this.#settings.resetAll();
    this.#notifications.forget(session);
  }

  #cleanUp(session) {
    for (const name of session.statements.keys()) {
      this.#engine.run(messages.closeStatement(session.statementName(name)));
    }
    if (session.statements.size) this.#engine.run(messages.sync);
    session.statements.clear();
    this.#notifications.forget(session);
  }

  #report(session) {
    const own = new Map([...session.settings].map(([name, value]) => [name.toLowerCase(), value]));
    return this.#reported.map(([name, value]) => [name, own.get(name.toLowerCase()) ?? value]);
  }

  /** While a client sits in a transaction: its own limit, the common one if others wait, and their lock timeouts. */
  #watchIdle() {
    clearTimeout(this.#watch);
    const deadlines = this.#deadlines();
    if (!deadlines.length) return;
    const soonest = Math.min(...deadlines.map((each) => each.at));
    this.#watch = setTimeout(() => this.#expire(), Math.max(1, soonest - performance.now()));
  }

  #deadlines() {
    const holder = this.#holder;
    if (!holder || holder.hasWork || holder.closed) return [];
    const own = holder.timeout('idle_in_transaction_session_timeout');
    const limits = [own || Infinity, this.#waiting.length ? this.#idleLimitMs : Infinity];
    const deadlines = [{ at: this.#idleSince + Math.min(...limits), session: holder }];
    for (const session of this.#waiting) {
      const patience = session.timeout('lock_timeout');
      if (patience) deadlines.push({ at: Math.max(this.#idleSince, session.waitingSince) + patience, session });
    }
    return deadlines.filter((each) => each.at !== Infinity);
  }

  #expire() {
    const now = performance.now();
    for (const { at, session } of this.#deadlines()) {
      if (at > now) continue;
      if (session === this.#holder) {
        session.end('25P03', 'terminating connection due to idle-in-transaction timeout');
      } else {
        this.#waiting = this.#waiting.filter((each) => each !== session);
        session.cancel('55P03', 'canceling statement due to lock timeout');
      }
    }
    this.#watchIdle();
  }
}
