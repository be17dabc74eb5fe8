/** @import { Chat } from './chat-types.js' */
/** @import { Conversation } from './conversation.mjs' */
import { ChatList } from './chat-list.mjs';
import { ChatStore } from './chat-store.mjs';
import { element } from './elements.mjs';

/**
 * @typedef {object} KeptChatsHost
 * @property {() => Conversation} current the open chat
 * @property {(id: string) => void} open
 * @property {() => void} leave the open chat, which is deleted
 */

/** The chats that the browser keeps, their list, and what is said when it does not keep one. */
export class KeptChats {
  #store;
  #host;
  #list;
  /**
   * Their answers may still be written: they must not come back.
   *
   * @type {Set<string>}
   */
  #deleted = new Set();

  /**
   * @param {ChatStore | null} store null: the browser keeps nothing
   * @param {KeptChatsHost} host
   */
  constructor(store, host) {
    this.#store = store;
    this.#host = host;
    this.#list = new ChatList(element('chat-list'), {
      onOpen: (id) => host.open(id),
      onRename: (id, title) => {
        if (id === host.current().id) host.current().title = title;
        void this.#change((kept) => kept.rename(id, title));
      },
      onDelete: (id) => void this.#delete(id),
    });
    element('delete-all').addEventListener('click', () => {
      if (confirm('Delete all chats of this browser?')) void this.#deleteAll();
    });
  }

  /** @param {KeptChatsHost} host */
  static async open(host) {
    try {
      return new KeptChats(await ChatStore.open(), host);
    } catch (error) {
      say(`This browser keeps no chats: ${error instanceof Error ? error.message : String(error)}`);
      return new KeptChats(null, host);
    }
  }

  /**
   * @param {string} id
   * @returns {Promise<Chat | null>}
   */
  async read(id) {
    return (await this.#store?.read(id)) ?? null;
  }

  /** @param {Conversation} said as it is now */
  keep({ id, title, turns }) {
    if (this.#deleted.has(id)) return;
    void this.#change((kept) => kept.keep({ id, title, turns, changedAt: Date.now() }));
  }

  /** As the browser has them now: another tab may have changed some. */
  async show() {
    const heads = (await this.#store?.list()) ?? [];
    const { id, title } = this.#host.current();
    this.#list.show(heads, id);
    element('no-chats').hidden = heads.length > 0;
    element('delete-all').hidden = heads.length < 2;
    document.title = `${title || 'Chat'} · Octavo`;
  }

  /** @param {string} id */
  async #delete(id) {
    this.#deleted.add(id);
    if (id === this.#host.current().id) this.#host.leave();
    await this.#change((kept) => kept.delete(id));
  }

  async #deleteAll() {
    this.#deleted.add(this.#host.current().id);
    this.#host.leave();
    await this.#change((kept) => kept.deleteAll());
  }

  /** @param {(kept: ChatStore) => Promise<void>} change */
  async #change(change) {
    if (!this.#store) return;
    try {
      await change(this.#store);
      say('');
    } catch (error) {
      const isFull = error instanceof DOMException && error.name === 'QuotaExceededError';
      const why = isFull ? 'it is full. Delete other chats, and ask again' : String(error);
      say(`This browser does not keep the chat: ${why}.`);
    }
    await this.show();
  }
}

/** @param {string} words empty: nothing */
function say(words) {
  const note = element('chats-error');
  note.textContent = words;
  note.hidden = words === '';
}
