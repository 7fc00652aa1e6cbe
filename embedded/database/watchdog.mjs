// Does one statement keep the backend for ever? It cannot be interrupted, so a thread beside it ends the process,
// for the supervisor to start it again; nothing that was acknowledged is lost.

import { writeSync } from 'node:fs';
import { Worker, isMainThread, workerData } from 'node:worker_threads';

const LOOK_EVERY_MS = 500;
const STDERR = 2;
const now = () => BigInt(Date.now());

export class Watchdog {
  #began = new BigInt64Array(new SharedArrayBuffer(8));

  constructor(limitMs) {
    const worker = new Worker(new URL(import.meta.url), { workerData: { began: this.#began, limitMs } });
    worker.unref();
  }

  /** Runs `work`, which the thread may outlive. */
  watch(work) {
    Atomics.store(this.#began, 0, now());
    try {
      return work();
    } finally {
      Atomics.store(this.#began, 0, 0n);
    }
  }
}

if (!isMainThread) {
  const { began, limitMs } = workerData;
  setInterval(() => {
    const since = Atomics.load(began, 0);
    if (since === 0n || now() - since < BigInt(limitMs)) return;
    writeSync(STDERR, `a statement has run for more than ${limitMs} ms and cannot be interrupted: the server ends\n`);
    process.kill(process.pid, 'SIGKILL');
  }, LOOK_EVERY_MS);
}
