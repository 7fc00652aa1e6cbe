// What will this SQL do to a session? Reads just enough of a statement to know what the shared backend would mix up.

const LEADING_NOISE = /^(?:\s+|--[^\n]*\n?|\/\*[\s\S]*?\*\/)+/;
const COPY_IN = /^copy\b[^;]*\bfrom\s+stdin\b/i;
const LISTEN = /^listen\s+("(?:[^"]|"")+"|[\w$]+)/i;
const UNLISTEN = /^unlisten\s+(\*|"(?:[^"]|"")+"|[\w$]+)/i;
const RESETS = /^(?:reset|discard)\b/i;
// `do` and `call` may hide a SET. What is set for a transaction only ends with it.
const CHANGES = /^(?:set(?!\s+(?:local|transaction|constraints)\b)|do|call)\b|\bset_config\s*\(/i;
const DEALLOCATE = /^deallocate\s+(?:prepare\s+)?("(?:[^"]|"")+"|[\w$]+)$/i;

// What asyncpg's pool sends whenever a connection goes back. All of it is the server's own business.
const POOL_RESET = /^select pg_advisory_unlock_all\(\);\s*close all;\s*unlisten \*;\s*reset all;?$/i;

/** The name as PostgreSQL folds it. */
const identifier = (text) => (text.startsWith('"') ? text.slice(1, -1).replaceAll('""', '"') : text.toLowerCase());

/** The statements of a text, near enough for their first words: a semicolon inside a literal does no harm. */
const split = (sql) => sql.split(';').map((part) => part.replace(LEADING_NOISE, '').trimEnd()).filter(Boolean);

/**
 * @typedef {object} Effects
 * @property {boolean} changes     may have changed settings
 * @property {boolean} resets      may have put settings back to the backend's own
 * @property {boolean} copyIn      is one COPY ... FROM STDIN
 * @property {boolean} copyBinary  in the binary format
 * @property {boolean} copyInside  holds such a COPY among other statements
 * @property {boolean} poolReset   is what a pool sends between two users of a connection
 * @property {boolean} discards    is DISCARD ALL
 * @property {string|null} deallocates  the prepared statement that it drops, or `all`
 * @property {Array<[string, string]>} listens  ['listen' | 'unlisten', channel or *]
 */

/** @returns {Effects} */
export function effectsOf(sql) {
  const statements = split(sql);
  const only = statements.length === 1 ? statements[0] : null;
  const copies = statements.some((each) => COPY_IN.test(each));
  const deallocated = only && DEALLOCATE.exec(only);
  const resets = statements.some((each) => RESETS.test(each));
  return {
    resets,
    changes: resets || statements.some((each) => CHANGES.test(each)),
    copyIn: copies && only !== null,
    copyInside: copies && only === null,
    copyBinary: copies && /\bbinary\b/i.test(sql),
    poolReset: POOL_RESET.test(sql.trim()),
    discards: only !== null && /^discard\s+all$/i.test(only),
    deallocates: deallocated ? identifier(deallocated[1]) : null,
    listens: statements.flatMap((each) => {
      const listen = LISTEN.exec(each);
      if (listen) return [['listen', identifier(listen[1])]];
      const unlisten = UNLISTEN.exec(each);
      return unlisten ? [['unlisten', identifier(unlisten[1])]] : [];
    }),
  };
}
