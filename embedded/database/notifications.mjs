// Who wants to hear of a NOTIFY? One backend listens for all; each client gets the channels that it asked for.

import * as messages from './messages.mjs';

const quoted = (channel) => `"${channel.replaceAll('"', '""')}"`;

export class Notifications {
  #engine;
  #sessions = new Set();

  constructor(engine) {
    this.#engine = engine;
  }

  /** Notes what a session's statements asked for. */
  note(session, listens) {
    for (const [verb, channel] of listens) {
      if (verb === 'listen') session.channels.add(channel);
      else if (channel === '*') session.channels.clear();
      else session.channels.delete(channel);
    }
    if (session.channels.size) this.#sessions.add(session);
    else this.#sessions.delete(session);
  }

  /** Listens again to what one client's UNLISTEN has taken from the others. */
  restore() {
    const channels = new Set([...this.#sessions].flatMap((session) => [...session.channels]));
    if (channels.size) this.#engine.select([...channels].map((each) => `listen ${quoted(each)};`).join(' '));
  }

  forget(session) {
    session.channels.clear();
    this.#sessions.delete(session);
  }

  deliver(notification) {
    const channel = messages.channelOf(notification);
    for (const session of this.#sessions) if (session.channels.has(channel)) session.send(notification);
  }
}
