// TimescaleDB for many PostgreSQL clients on one machine:
//   node server.mjs --data DIR [--port N] [--user NAME] [--database NAME]
//     [--idle-limit-ms N] [--longest-statement-ms N] [--upkeep-interval-ms N] [--first-job-delay-ms N]
// The password comes from ML_GUARD_DATABASE_PASSWORD. A line of the log says when clients may connect.

import { createServer } from 'node:net';
import { parseArgs } from 'node:util';
import { DirectoryLock } from './lock.mjs';
import { Engine } from './engine.mjs';
import { Logins } from './logins.mjs';
import { Scheduler } from './scheduler.mjs';
import { Session } from './session.mjs';
import { Upkeep } from './upkeep.mjs';
import { Watchdog } from './watchdog.mjs';

const HOST = '127.0.0.1';
const EXIT_ABORTED = 70;
const EXIT_IN_USE = 73;

const { values: options } = parseArgs({
  options: {
    data: { type: 'string' },
    port: { type: 'string', default: '0' },
    user: { type: 'string', default: 'ml_guard' },
    database: { type: 'string', default: 'ml_guard' },
    'idle-limit-ms': { type: 'string', default: '10000' },
    'longest-statement-ms': { type: 'string', default: '300000' },
    'upkeep-interval-ms': { type: 'string', default: '1000' },
    'first-job-delay-ms': { type: 'string', default: '60000' },
  },
});
const logins = new Logins({
  owner: options.user,
  password: process.env.ML_GUARD_DATABASE_PASSWORD ?? '',
  database: options.database,
});

function fail(code, text) {
  console.error(text);
  process.exit(code);
}

const lock = new DirectoryLock(options.data);
const owner = lock.take();
if (owner) fail(EXIT_IN_USE, `${options.data} is in use by process ${owner}`);
process.on('exit', () => lock.release());

const engine = await Engine.open(options.data, new Watchdog(Number(options['longest-statement-ms'])));
const scheduler = new Scheduler(engine, logins, {
  idleLimitMs: Number(options['idle-limit-ms']),
  onAbort: (failure) => fail(EXIT_ABORTED, `the database backend failed: ${failure.stack}`),
});
const upkeep = new Upkeep(engine, (work) => scheduler.chore(work), {
  intervalMs: Number(options['upkeep-interval-ms']),
  firstJobDelayMs: Number(options['first-job-delay-ms']),
});

const sessions = new Map();
const callbacks = {
  submit: (session) => scheduler.submit(session),
  leave(session) {
    sessions.delete(session.id);
    scheduler.leave(session);
  },
  cancel(id, secret) {
    const session = sessions.get(id);
    if (session?.secret === secret) scheduler.cancel(session);
  },
};

const server = createServer((socket) => {
  const session = new Session(socket, callbacks);
  sessions.set(session.id, session);
});

function shutDown() {
  upkeep.stop();
  server.close();
  for (const session of [...sessions.values()]) session.end('57P01', 'terminating connection due to administrator command');
  setImmediate(() => {
    engine.close();
    process.exit(0);
  });
}

process.on('SIGTERM', shutDown);
process.on('SIGINT', shutDown);
server.on('error', (failure) => fail(1, `cannot listen on ${HOST}:${options.port}: ${failure.message}`));
server.listen(Number(options.port), HOST, () => console.log(`${new Date().toISOString()} clients may connect to ${HOST}:${server.address().port}`));
