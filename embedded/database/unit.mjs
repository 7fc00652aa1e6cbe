// What does the backend get to see? Runs one client's unit of work, with its names made its own.

import { messagesOf, type } from './framing.mjs';
import * as messages from './messages.mjs';
import { concernsRows } from './logins.mjs';
import { BACK_TO_OWNER } from './settings.mjs';
import { effectsOf } from './statements.mjs';

const [QUERY, PARSE, BIND, DESCRIBE, CLOSE, FLUSH, SYNC, CALL] = ['Q', 'P', 'B', 'D', 'C', 'H', 'S', 'F'].map(type);
const [READY, ERROR, NOTIFICATION, COPY_IN] = ['Z', 'E', 'A', 'G'].map(type);

const COPY_REFUSED = messages.error('0A000', 'the embedded database takes COPY ... FROM STDIN only as a simple query of its own', {
  hint: 'send it alone, without parameters',
});

const REFUSED = messages.error('42501', 'permission denied: this login of the embedded database may only read and write rows');

/** Asks only about statements, and waits for the answer without ending its implicit transaction, as asyncpg does. */
const onlyPrepares = (unit) =>
  unit.messages.at(-1)?.[0] === FLUSH && unit.messages.every((each) => [PARSE, DESCRIBE, CLOSE, FLUSH].includes(each[0]));

/** Runs `unit` for `session`. Returns the client's answer, notifications apart, and what the unit did. */
export class UnitRun {
  effects = [];
  notifications = [];
  #engine;
  #session;
  #answer = [];

  constructor(engine, session) {
    this.#engine = engine;
    this.#session = session;
  }

  /** @returns {Buffer} what the client gets */
  run(unit) {
    const idle = this.#session.status === 'I';
    if (unit.copy) this.#ask(unit.messages[0]);
    else for (const message of this.#unskipped(unit.messages)) this.#handle(message);
    const answer = this.#read(unit);
    if (idle && onlyPrepares(unit)) this.#endPreparing(answer);
    return Buffer.concat(answer);
  }

  #unskipped(all) {
    if (!this.#session.skipsToSync) return all;
    const sync = all.findIndex((message) => message[0] === SYNC);
    if (sync >= 0) this.#session.skipsToSync = false;
    return sync >= 0 ? all.slice(sync) : [];
  }

  #read(unit) {
    const answer = [];
    for (const message of messagesOf(Buffer.concat(this.#answer))) {
      if (message[0] === NOTIFICATION) {
        this.notifications.push(message);
        continue;
      }
      if (message[0] === READY) this.#session.status = String.fromCharCode(message[5]);
      this.ready = message[0] === READY;
      if (unit.copy?.announced && message[0] === COPY_IN) continue;
      answer.push(message[0] === ERROR ? messages.errorWithout(this.#session.statementName(''), message) : message);
    }
    return answer;
  }

  /** The client may do something else for long before it goes on, so the backend's implicit transaction ends here. */
  #endPreparing(answer) {
    this.#engine.run(messages.sync);
    this.#session.skipsToSync = answer.some((message) => message[0] === ERROR);
    this.ready = true;
  }

  #ask(message) {
    this.#answer.push(this.#engine.run(message));
  }

  #handle(message) {
    if (message[0] === QUERY) this.#query(message);
    else if (message[0] === PARSE) this.#parse(message);
    else if (message[0] === BIND) this.#bind(message);
    else if (message[0] === DESCRIBE || message[0] === CLOSE) this.#target(message);
    else if (message[0] === CALL && this.#session.restricted) this.#refuseStatement();
    else this.#ask(message);
  }

  #query(message) {
    const sql = messages.sqlOf(message);
    const effects = effectsOf(sql);
    this.effects.push(effects);
    if (effects.discards && this.#session.status === 'I') this.#discard(effects);
    else if (effects.deallocates !== null) this.#deallocate(effects.deallocates);
    else if (this.#session.restricted && !concernsRows(sql)) this.#refuseStatement();
    else if (effects.copyInside) this.#refuse(COPY_REFUSED, messages.readyForQuery(this.#session.status));
    else this.#ask(message);
  }

  #parse(message) {
    const { name, sql, rest } = messages.readParse(message);
    const own = this.#session.statementName(name);
    const effects = effectsOf(sql);
    const refused = this.#session.restricted && !concernsRows(sql);
    if (effects.copyIn || effects.copyInside || refused) {
      this.#engine.run(messages.parse(own, Buffer.from('refused\0\0\0'))); // puts the backend into its error state
      this.#refuse(refused ? REFUSED : COPY_REFUSED);
      return;
    }
    // The unnamed statement is replaced by the next one; under the name that it has here it would be a duplicate.
    if (name === '' && this.#session.statements.has('')) this.#engine.run(messages.closeStatement(own));
    this.#session.statements.set(name, effects);
    this.#ask(messages.parse(own, rest));
  }

  #bind(message) {
    const { portal, statement, rest } = messages.readBind(message);
    const effects = this.#session.statements.get(statement);
    if (effects) this.effects.push(effects);
    this.#ask(messages.bind(portal, this.#session.statementName(statement), rest));
  }

  #target(message) {
    const { kind, name } = messages.readTarget(message);
    if (kind !== 'S') {
      this.#ask(message);
      return;
    }
    if (message[0] === CLOSE) this.#session.statements.delete(name);
    this.#ask(messages.target(String.fromCharCode(message[0]), kind, this.#session.statementName(name)));
  }

  #discard(effects) {
    this.#engine.select(`${BACK_TO_OWNER} reset all`);
    this.#forgetStatements();
    effects.listens.push(['unlisten', '*']);
    this.#complete('DISCARD ALL');
  }

  /** A name that PREPARE made has no prefix: what is not known here is the backend's to answer. */
  #deallocate(name) {
    if (name === 'all') {
      this.#forgetStatements();
      this.#complete('DEALLOCATE ALL');
    } else if (this.#session.statements.delete(name)) {
      this.#engine.run(messages.closeStatement(this.#session.statementName(name)));
      this.#complete('DEALLOCATE');
    } else {
      this.#ask(messages.query(`deallocate "${name.replaceAll('"', '""')}"`));
    }
  }

  #forgetStatements() {
    for (const name of this.#session.statements.keys()) {
      this.#engine.run(messages.closeStatement(this.#session.statementName(name)));
    }
    this.#session.statements.clear();
  }

  #complete(...tags) {
    this.#answer.push(...tags.map(messages.commandComplete), messages.readyForQuery(this.#session.status));
  }

  #refuse(...answers) {
    this.#answer.push(...answers);
  }

  /** A transaction that the client has begun fails with it, as with any error. */
  #refuseStatement() {
    const ready = [...messagesOf(this.#engine.run(messages.query('refused')))].at(-1);
    this.#refuse(REFUSED, ready);
  }
}
