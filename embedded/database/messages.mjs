// What does a message say? Builds and reads the few protocol messages that the server itself must understand.

const cstring = (text) => Buffer.from(`${text}\0`, 'utf8');

const int32 = (value) => {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32BE(value);
  return buffer;
};

export function message(letter, ...parts) {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from(letter), int32(body.length + 4), body]);
}

// --- from client to backend ---

export const query = (sql) => message('Q', cstring(sql));
export const sync = message('S');
export const terminate = message('X');
export const closeStatement = (name) => message('C', Buffer.from('S'), cstring(name));

/** The zero-terminated text that begins at `offset`, and where the next field begins. */
export function textAt(buffer, offset) {
  const end = buffer.indexOf(0, offset);
  return { text: buffer.toString('utf8', offset, end), next: end + 1 };
}

export const sqlOf = (queryMessage) => textAt(queryMessage, 5).text;

export function readParse(buffer) {
  const name = textAt(buffer, 5);
  return { name: name.text, sql: textAt(buffer, name.next).text, rest: buffer.subarray(name.next) };
}

export function readBind(buffer) {
  const portal = textAt(buffer, 5);
  const statement = textAt(buffer, portal.next);
  return { portal: portal.text, statement: statement.text, rest: buffer.subarray(statement.next) };
}

/** Describe and Close: `kind` is S (statement) or P (portal). */
export const readTarget = (buffer) => ({ kind: String.fromCharCode(buffer[5]), name: textAt(buffer, 6).text });

export const parse = (name, rest) => message('P', cstring(name), rest);
export const bind = (portal, statement, rest) => message('B', cstring(portal), cstring(statement), rest);
export const target = (letter, kind, name) => message(letter, Buffer.from(kind), cstring(name));

/** The opening packet's parameters: user, database, settings. */
export function readStartup(packet) {
  const parameters = new Map();
  let offset = 8;
  while (offset < packet.length && packet[offset] !== 0) {
    const key = textAt(packet, offset);
    const value = textAt(packet, key.next);
    parameters.set(key.text, value.text);
    offset = value.next;
  }
  return parameters;
}

// --- from server to client ---

export const authenticationOk = message('R', int32(0));
export const authenticationCleartext = message('R', int32(3));
export const parameterStatus = (name, value) => message('S', cstring(name), cstring(value));
export const backendKey = (id, secret) => message('K', int32(id), int32(secret));
export const readyForQuery = (status) => message('Z', Buffer.from(status));
export const commandComplete = (tag) => message('C', cstring(tag));
export const negotiateVersion = (minor) => message('v', int32(minor), int32(0));

export function copyInResponse(binary) {
  return message('G', Buffer.from([binary ? 1 : 0, 0, 0])); // no columns listed: clients do not read them
}

export function error(code, text, { severity = 'ERROR', hint } = {}) {
  const fields = [['S', severity], ['V', severity], ['C', code], ['M', text]];
  if (hint) fields.push(['H', hint]);
  return message('E', ...fields.map(([key, value]) => cstring(key + value)), Buffer.from([0]));
}

/** The text of an ErrorResponse, for logs. */
export function errorText(buffer) {
  let offset = 5;
  while (buffer[offset] !== 0) {
    const field = textAt(buffer, offset);
    if (field.text[0] === 'M') return field.text.slice(1);
    offset = field.next;
  }
  return 'unknown error';
}

/** The same error without the server's own `part` of a name. */
export function errorWithout(part, buffer) {
  const text = buffer.toString('latin1', 5);
  return text.includes(part) ? message('E', Buffer.from(text.replaceAll(part, ''), 'latin1')) : buffer;
}

export const errorIn = (messages) => messages.find((each) => each[0] === 0x45);

/** A NotificationResponse is: type, length, int32 process id, channel, payload. */
export const channelOf = (notification) => textAt(notification, 9).text;

/** The text columns of a DataRow (null where a column is null). */
export function rowOf(dataRow) {
  const columns = [];
  let offset = 7;
  for (let left = dataRow.readInt16BE(5); left > 0; left -= 1) {
    const length = dataRow.readInt32BE(offset);
    offset += 4;
    columns.push(length < 0 ? null : dataRow.toString('utf8', offset, offset + length));
    offset += Math.max(length, 0);
  }
  return columns;
}
