// Whose settings does the backend have? Gives each client its own again whenever the backend changes hands.

// The WebAssembly backend is started with settings that suit its own bootstrap; these are PostgreSQL's.
const POSTGRES_DEFAULTS = {
  allow_system_table_mods: 'off',
  client_min_messages: 'notice',
  enable_seqscan: 'on',
  exit_on_error: 'off',
  log_min_messages: 'fatal', // at its own debug1 every statement is formatted for a log that nobody reads
  search_path: '"$user", public',
  timezone: 'UTC',
};

// Settings by lower-case name, since clients write them in any case. A role is not among the server's settings.
const OF_SESSION = `
  select lower(name), setting from pg_catalog.pg_settings where source = 'session'
  union all select 'session_authorization', session_user::text where session_user <> 'postgres'
  union all select 'role', current_setting('role') where current_setting('role') <> 'none'`;

const WHO = 'session_authorization';
// A RESET of it does nothing: a backend of its own has not logged in, so there is nothing to go back to.
export const BACK_TO_OWNER = 'set session authorization postgres;';

const quote = (text) => `'${text.replaceAll("'", "''")}'`;

/** Settings of the opening packet over `defaults`: bare ones, and `options=-c name=value`. */
export function startupSettings(parameters, defaults = []) {
  const settings = new Map([...Object.entries(POSTGRES_DEFAULTS), ...defaults]);
  for (const [name, value] of parameters) {
    if (['user', 'database', 'replication', 'options'].includes(name) || name.startsWith('_pq_.')) continue;
    settings.set(name.toLowerCase(), name === 'client_encoding' ? value.replaceAll("'", '') : value);
  }
  const words = (parameters.get('options') ?? '').match(/(?:\\.|[^\s\\])+/g) ?? [];
  const assignments = words.join(' ').replace(/(^|\s)-c\s+/g, '$1--').split(/\s+/);
  for (const assignment of assignments) {
    const found = /^(?:--|-c)([^=]+)=(.*)$/.exec(assignment);
    if (found) settings.set(found[1].replaceAll('-', '_').toLowerCase(), found[2].replace(/\\(.)/g, '$1'));
  }
  return settings;
}

/** The same for a role that has logged in; `config` are its own settings, a line each. */
export function roleSettings(role, config, parameters) {
  const own = config.split('\n').filter(Boolean).map((line) => line.split(/=(.*)/s));
  const settings = startupSettings(parameters, own.map(([name, value]) => [name.toLowerCase(), value]));
  for (const name of ['role', WHO]) settings.delete(name);
  return settings.set(WHO, role); // the last, since a role may not set all that is set before
}

/** What the backend has now, beyond what RESET ALL would leave. */
export class BackendSettings {
  #engine;
  #current = new Map();

  constructor(engine) {
    this.#engine = engine;
  }

  /** Makes the backend's settings those of `wanted`; throws what PostgreSQL has against one of them. */
  apply(wanted) {
    if (this.#current === wanted) return;
    const resets = [...this.#current.keys()].filter((name) => name !== WHO && !wanted.has(name));
    const changes = [...wanted].filter(([name, value]) => this.#current.get(name) !== value);
    const sql = resets.map((name) => `reset ${name};`);
    if (this.#current.get(WHO) !== wanted.get(WHO)) sql.unshift(BACK_TO_OWNER); // what a role may not set
    if (changes.length) {
      const calls = changes.map(([name, value]) => `set_config(${quote(name)}, ${quote(value)}, false)`);
      sql.push(`select ${calls.join(', ')}`);
    }
    if (sql.length) this.#engine.select(sql.join(' '));
    this.#current = wanted;
  }

  /** To what the backend was started with. */
  resetAll() {
    this.#engine.select(`${BACK_TO_OWNER} reset all`);
    this.#current = new Map();
  }

  /** What a session's statements have made of its settings: `defaults` are what it would reset to. */
  read(defaults) {
    this.#current = new Map(this.#engine.select(OF_SESSION));
    return new Map([...defaults, ...this.#current]);
  }
}
