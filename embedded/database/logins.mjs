// Who may log in, and what may they run? The owner by the server's own password; a role of the database by its own.
//
// One backend serves all clients and is the superuser's, so a role's session is the superuser's under another name
// (`session_authorization`): PostgreSQL checks every right of that role, but would let it go back to the superuser. What
// could do that is refused here, by the first word of every statement.

import { createHash, createHmac, pbkdf2Sync, timingSafeEqual } from 'node:crypto';

const SCRAM = /^SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):(.+)$/;
const ROWS = new Set([
  'abort', 'begin', 'call', 'close', 'commit', 'deallocate', 'declare', 'delete', 'end', 'explain', 'fetch', 'insert',
  'listen', 'lock', 'merge', 'move', 'notify', 'release', 'reset', 'rollback', 'savepoint', 'select', 'set', 'show',
  'start', 'table', 'unlisten', 'update', 'values', 'with',
]);
const LEADING_NOISE = /^(?:\s+|\(|--[^\n]*\n?|\/\*[\s\S]*?\*\/)+/;
// Any setting but the one that says whose session it is; clients ask for `jit` like this.
const OTHER_SETTING = /\bset_config\s*\(\s*'(?!session_authorization')[a-z_.]+'\s*,/gi;
// An update of this view sets a setting.
const SETTINGS_VIEW = /\bpg_settings\b/i;
// Names may be written with Unicode escapes, which would hide the words that are looked for.
const ESCAPED_NAME = /\bu&/i;

const ROLE = `
  select a.rolpassword, array_to_string(s.setconfig, chr(10))
  from pg_catalog.pg_authid a left join pg_catalog.pg_db_role_setting s on s.setrole = a.oid and s.setdatabase = 0
  where a.rolcanlogin and a.rolname = `;

const digest = (text) => createHash('sha256').update(text).digest();
const quote = (text) => `'${text.replaceAll("'", "''")}'`;

/** Whether `given` is the password of which PostgreSQL stores `secret`. */
export function matches(secret, given) {
  const found = SCRAM.exec(secret ?? '');
  if (!found) return false;
  const [, iterations, salt, stored] = found;
  const salted = pbkdf2Sync(given.normalize('NFKC'), Buffer.from(salt, 'base64'), Number(iterations), 32, 'sha256');
  const client = createHmac('sha256', salted).update('Client Key').digest();
  return timingSafeEqual(digest(digest(client)), digest(Buffer.from(stored, 'base64')));
}

/** Whether a role's session may run this text: it reads or writes rows, and leaves the session as whose it is. */
export function concernsRows(sql) {
  const text = sql.replaceAll('\r', '\n');
  if (SETTINGS_VIEW.test(text) && /update/i.test(text)) return false;
  if (ESCAPED_NAME.test(text) || /set_config/i.test(text.replaceAll(OTHER_SETTING, ''))) return false;
  // Split inside literals too: a statement's beginning is never missed, at worst a literal is taken for one.
  return text.split(';').every((part) => {
    const statement = part.replace(LEADING_NOISE, '');
    const word = /^[a-z]*/i.exec(statement)[0].toLowerCase();
    if (statement === '') return true;
    return ROWS.has(word) && !(['set', 'reset'].includes(word) && /authorization/i.test(statement));
  });
}

export class Logins {
  #owner;
  #password;
  #database;

  constructor({ owner, password, database }) {
    this.#owner = owner;
    this.#password = password;
    this.#database = database;
  }

  /**
   * Lets a session in, or says why not: [SQLSTATE, text]. A role's session gets the role's settings.
   * `select` runs a statement of the server's own.
   */
  admit(session, given, select) {
    const user = session.parameters.get('user');
    const database = session.parameters.get('database') ?? user;
    if (user === this.#owner) {
      if (!timingSafeEqual(digest(given), digest(this.#password))) return wrongPassword(user);
    } else {
      const [row] = select(`${ROLE}${quote(user ?? '')}`);
      if (!row || !matches(row[0], given)) return wrongPassword(user);
      session.becomeRole(user, row[1] ?? '');
    }
    if (database !== this.#database && database !== 'postgres') return ['3D000', `database "${database}" does not exist`];
    return null;
  }
}

const wrongPassword = (user) => ['28P01', `password authentication failed for user "${user}"`];
