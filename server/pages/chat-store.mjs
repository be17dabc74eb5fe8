/** @import { Chat, ChatHead } from './chat-types.js' */

/**
 * The chats of this browser, in IndexedDB: heads, which the list reads, apart from turns, which
 * may hold pictures. Nothing of it leaves the browser by itself.
 */
export class ChatStore {
  #database;

  /** @param {IDBDatabase} database */
  constructor(database) {
    this.#database = database;
    // Another tab deletes the database, or has a newer page: it must not wait for this one.
    database.addEventListener('versionchange', () => database.close());
  }

  /**
   * @param {string} [name] of the database
   * @returns {Promise<ChatStore>} rejects where the browser keeps nothing
   */
  static open(name = 'octavo-chats') {
    return new Promise((resolve, reject) => {
      const request = indexedDB.open(name, 1);
      request.addEventListener('upgradeneeded', () => {
        request.result.createObjectStore('heads', { keyPath: 'id' });
        request.result.createObjectStore('turns');
      });
      request.addEventListener('success', () => resolve(new ChatStore(request.result)));
      request.addEventListener('error', () => reject(request.error));
    });
  }

  /** @returns {Promise<ChatHead[]>} those that were changed last first */
  async list() {
    const heads = this.#database.transaction('heads').objectStore('heads').getAll();
    const all = /** @type {ChatHead[]} */ (await resultOf(heads));
    return all.sort((a, b) => b.changedAt - a.changedAt);
  }

  /**
   * @param {string} id
   * @returns {Promise<Chat | null>}
   */
  async read(id) {
    const transaction = this.#database.transaction(['heads', 'turns']);
    const [head, turns] = await Promise.all([
      resultOf(transaction.objectStore('heads').get(id)),
      resultOf(transaction.objectStore('turns').get(id)),
    ]);
    return head && turns ? { ...head, turns } : null;
  }

  /**
   * Keeps a chat as it is now.
   *
   * @param {Chat} chat
   * @returns {Promise<void>} rejects with a QuotaExceededError when there is no room for it: what
   *   was kept before stays
   */
  keep({ turns, ...head }) {
    return this.#change((heads, all) => {
      heads.put(head);
      all.put(turns, head.id);
    });
  }

  /**
   * @param {string} id
   * @param {string} title
   */
  async rename(id, title) {
    const heads = this.#database.transaction('heads').objectStore('heads');
    const head = /** @type {ChatHead | undefined} */ (await resultOf(heads.get(id)));
    if (head) await this.#change((store) => store.put({ ...head, title }));
  }

  /** @param {string} id */
  delete(id) {
    return this.#change((heads, turns) => {
      heads.delete(id);
      turns.delete(id);
    });
  }

  deleteAll() {
    return this.#change((heads, turns) => {
      heads.clear();
      turns.clear();
    });
  }

  /**
   * @param {(heads: IDBObjectStore, turns: IDBObjectStore) => void} change
   * @returns {Promise<void>}
   */
  #change(change) {
    return new Promise((resolve, reject) => {
      const transaction = this.#database.transaction(['heads', 'turns'], 'readwrite');
      transaction.addEventListener('complete', () => resolve());
      transaction.addEventListener('abort', () => reject(transaction.error));
      try {
        change(transaction.objectStore('heads'), transaction.objectStore('turns'));
      } catch (error) {
        // A half of it must not stay.
        transaction.abort();
        reject(error);
      }
    });
  }
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function resultOf(request) {
  return new Promise((resolve, reject) => {
    request.addEventListener('success', () => resolve(request.result));
    request.addEventListener('error', () => reject(request.error));
  });
}
