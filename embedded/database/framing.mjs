// Which bytes are one message? Cuts a client's byte stream, and a backend's answer, into protocol messages.

const HEADER = 5; // type byte, then a length that counts itself but not the type
const MAX_STARTUP_BYTES = 10_000; // PostgreSQL's own limit for the packet before anyone has logged in
const MAX_MESSAGE_BYTES = 1 << 30;

export const type = (letter) => letter.charCodeAt(0);

/** Collects chunks and hands out whole messages. The packet that opens a connection has no type byte. */
export class MessageReader {
  #chunks = [];
  #size = 0;

  push(chunk) {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
  }

  /** The opening packet (its length included), or null while it is incomplete. */
  nextStartup() {
    if (this.#size < 4) return null;
    const length = this.#peek(4).readInt32BE(0);
    if (length < 8 || length > MAX_STARTUP_BYTES) throw new RangeError(`startup packet of ${length} bytes`);
    return this.#size < length ? null : this.#take(length);
  }

  /** The next message with its header, or null while it is incomplete. */
  next() {
    if (this.#size < HEADER) return null;
    const length = this.#peek(HEADER).readInt32BE(1) + 1;
    if (length < HEADER || length > MAX_MESSAGE_BYTES) throw new RangeError(`message of ${length} bytes`);
    return this.#size < length ? null : this.#take(length);
  }

  #peek(count) {
    if (this.#chunks[0].length < count) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0];
  }

  #take(length) {
    if (this.#chunks[0].length < length) this.#chunks = [Buffer.concat(this.#chunks)];
    const [first] = this.#chunks;
    if (first.length === length) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(length);
    this.#size -= length;
    return first.subarray(0, length);
  }
}

/** Walks the messages of a whole answer, without copying. */
export function* messagesOf(buffer) {
  let offset = 0;
  while (offset < buffer.length) {
    const end = offset + 1 + buffer.readInt32BE(offset + 1);
    yield buffer.subarray(offset, end);
    offset = end;
  }
}
