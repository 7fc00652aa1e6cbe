// May this process open the directory? PostgreSQL's own lock does not work in WebAssembly, so a file names the owner.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

export class DirectoryLock {
  #file;

  constructor(dataDir) {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    this.#file = `${dataDir}.lock`;
  }

  /** Null when the lock is ours, else the process id of the owner. */
  take() {
    try {
      writeFileSync(this.#file, `${process.pid}\n`, { flag: 'wx' });
      return null;
    } catch (failure) {
      if (failure.code !== 'EEXIST') throw failure;
    }
    const owner = Number(readFileSync(this.#file, 'utf8'));
    if (owner && owner !== process.pid && isDatabaseServer(owner)) return owner;
    rmSync(this.#file, { force: true }); // its owner was killed
    return this.take();
  }

  release() {
    try {
      if (Number(readFileSync(this.#file, 'utf8')) === process.pid) rmSync(this.#file);
    } catch {
      // Gone with its directory.
    }
  }
}

/** A process id alone proves nothing: after a reboot another program may have it. */
function isDatabaseServer(pid) {
  try {
    const command = existsSync('/proc/self')
      ? readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      : execFileSync('ps', ['-p', String(pid), '-o', 'args='], { encoding: 'utf8' });
    return command.includes('server.mjs');
  } catch {
    return false;
  }
}
