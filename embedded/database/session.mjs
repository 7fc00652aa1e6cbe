// Who is this client? Its connection, its login, its prepared statements, and the units of work that it has sent.

import { randomInt } from 'node:crypto';
import { MessageReader, type } from './framing.mjs';
import * as messages from './messages.mjs';
import { effectsOf } from './statements.mjs';
import { roleSettings, startupSettings } from './settings.mjs';

const SSL_REQUEST = 80877103;
const GSS_REQUEST = 80877104;
const CANCEL_REQUEST = 80877102;
const PROTOCOL_MAJOR = 3;

const UNIT_ENDS = new Set(['Q', 'S', 'H', 'F'].map(type));
const COPY_ENDS = new Set(['c', 'f'].map(type));

let lastId = 0;

export class Session {
  id = (lastId += 1);
  secret = randomInt(1, 2 ** 31 - 1);
  channels = new Set();
  /** Prepared statements by the client's own name, each with what it does to a session. */
  statements = new Map();
  /** `I` idle, `T` in a transaction, `E` in a failed one. */
  status = 'I';
  settings = null;
  defaults = null;
  waitingSince = 0;
  /** A prepared statement has failed before a Flush: what follows up to the next Sync is void. */
  skipsToSync = false;
  closed = false;
  /** Whether it may only read and write rows. */
  restricted = false;

  #socket;
  #server;
  #reader = new MessageReader();
  #phase = 'startup';
  #unit = [];
  #units = [];
  #copy = null;

  /** `server` answers cancels, and is told of new work and of the end. */
  constructor(socket, server) {
    this.#socket = socket;
    this.#server = server;
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#left());
  }

  get hasWork() {
    return this.#units.length > 0;
  }

  /** Milliseconds, 0 for none. */
  timeout(name) {
    return milliseconds(this.settings?.get(name) ?? '0');
  }

  statementName(name) {
    return `s${this.id}_${name}`;
  }

  takeUnit() {
    return this.#units.shift();
  }

  send(buffer) {
    if (!this.closed) this.#socket.write(buffer);
  }

  /** Says why, and closes. */
  end(code, text, hint) {
    this.send(messages.error(code, text, { severity: 'FATAL', hint }));
    this.#socket.end();
    this.#left();
  }

  /** The login is a role's, not the owner's: it has the role's settings and rights, and may only read and write rows. */
  becomeRole(role, config) {
    this.restricted = true;
    this.defaults = roleSettings(role, config, this.parameters);
    this.settings = this.defaults;
  }

  /** The server has checked the opening packet's settings: the client may begin. */
  welcome(reported) {
    const parts = [messages.authenticationOk];
    for (const [name, value] of reported) parts.push(messages.parameterStatus(name, value));
    parts.push(messages.backendKey(this.id, this.secret), messages.readyForQuery('I'));
    this.send(Buffer.concat(parts));
  }

  /** Drops the work that waits, as a cancelled query would end. */
  cancel(code, text) {
    this.#units = [];
    this.send(Buffer.concat([messages.error(code, text), messages.readyForQuery(this.status)]));
  }

  /** Tells a client that has sent a COPY to go on, once all before it is answered. Some do not wait for this. */
  announceCopy() {
    if (this.#copy === null || this.#copy.announced || this.#units.length) return;
    this.#copy.announced = true;
    this.send(messages.copyInResponse(this.#copy.binary));
  }

  #left() {
    if (this.closed) return;
    this.closed = true;
    this.#units = [];
    this.#server.leave(this);
  }

  #receive(chunk) {
    if (this.closed) return;
    this.#reader.push(chunk);
    try {
      while (!this.closed && this.#step());
    } catch (failure) {
      this.end('08P01', `protocol violation: ${failure.message}`);
    }
  }

  /** Handles one message; false when none is complete. */
  #step() {
    if (this.#phase === 'startup') {
      const packet = this.#reader.nextStartup();
      if (packet) this.#startup(packet);
      return packet !== null;
    }
    const message = this.#reader.next();
    if (message === null) return false;
    if (this.#phase === 'password') this.#password(message);
    else if (message[0] === type('X')) this.#socket.end(() => this.#left());
    else if (this.#copy) this.#collect(message);
    else this.#accept(message);
    return true;
  }

  #startup(packet) {
    const code = packet.readInt32BE(4);
    if (code === SSL_REQUEST || code === GSS_REQUEST) {
      this.#socket.write('N');
    } else if (code === CANCEL_REQUEST) {
      this.#server.cancel(packet.readInt32BE(8), packet.readInt32BE(12));
      this.#socket.end();
    } else if (code >> 16 !== PROTOCOL_MAJOR) {
      this.end('0A000', `unsupported protocol version ${code >> 16}.${code & 0xffff}`);
    } else {
      if (code & 0xffff) this.send(messages.negotiateVersion(0));
      this.parameters = messages.readStartup(packet);
      this.defaults = startupSettings(this.parameters);
      this.settings = this.defaults;
      this.#phase = 'password';
      this.send(messages.authenticationCleartext);
    }
  }

  #password(message) {
    if (message[0] !== type('p')) {
      this.end('08P01', 'a password was expected');
      return;
    }
    this.#phase = 'ready';
    this.#submit({ messages: [], login: { password: messages.textAt(message, 5).text } });
  }

  /** Collects messages up to one that the client waits for an answer to. */
  #accept(message) {
    const effects = message[0] === type('Q') ? effectsOf(messages.sqlOf(message)) : null;
    if (effects?.copyIn) {
      this.#copy = { parts: [message], binary: effects.copyBinary, announced: false };
      this.announceCopy();
      return;
    }
    this.#unit.push(message);
    if (!UNIT_ENDS.has(message[0])) return;
    this.#submit({ messages: this.#unit });
    this.#unit = [];
  }

  /** A COPY's data is collected whole: the backend cannot wait for more of it. */
  #collect(message) {
    if (message[0] === type('H') || message[0] === type('S')) return;
    this.#copy.parts.push(message);
    if (!COPY_ENDS.has(message[0])) return;
    const { parts, announced } = this.#copy;
    this.#copy = null;
    this.#submit({ messages: [Buffer.concat(parts)], copy: { announced } });
  }

  #submit(unit) {
    this.#units.push(unit);
    this.#server.submit(this);
  }
}

const UNITS_MS = { us: 0.001, ms: 1, s: 1000, min: 60_000, h: 3_600_000, d: 86_400_000 };

/** PostgreSQL's notation for durations; a bare number is milliseconds. */
export function milliseconds(text) {
  const found = /^\s*(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d)?\s*$/.exec(text);
  return found ? Number(found[1]) * UNITS_MS[found[2] ?? 'ms'] : 0;
}
