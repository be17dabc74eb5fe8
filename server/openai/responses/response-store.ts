import type { Item } from './items.js';
import type { ResponseObject } from './response-object.js';

/** A response that can be asked for again and continued. */
export interface StoredResponse {
  readonly response: ResponseObject;
  /** All that it was generated from, earlier turns included. */
  readonly input: readonly Item[];
}

export interface ResponseStoreLimits {
  readonly maxResponses: number;
  readonly maxBytes: number;
}

/** One client's view of the store: other clients' responses do not exist for it. */
export interface OwnResponses {
  /** Counts as a use. */
  get(id: string): StoredResponse | undefined;
  /** An item of any response's output, while a conversation that has it is kept. */
  item(id: string): Item | undefined;
  /**
   * Keeps a response, and drops the oldest ones of any client for it. A response larger than the
   * limit is not kept.
   */
  put(stored: StoredResponse): void;
  /** @returns false when there is none */
  delete(id: string): boolean;
}

interface Entry extends StoredResponse {
  readonly owner: string;
  readonly bytes: number;
}

interface KnownItem {
  readonly item: Item;
  readonly owner: string;
  /** Conversations that have it. */
  uses: number;
}

/**
 * Keeps the responses that were used last, in memory.
 *
 * A response is charged for its whole conversation. Turns share the items that they have in common,
 * so the true size of a long conversation is smaller: the limit holds in any case.
 */
export class ResponseStore {
  readonly #limits: ResponseStoreLimits;
  /** In the order of use, the oldest first. */
  readonly #entries = new Map<string, Entry>();
  /**
   * Items that the server created with unguessable ids, which only their clients know. Items from
   * clients may have any id, even that of another client's item.
   */
  readonly #items = new Map<string, KnownItem>();
  #bytes = 0;

  constructor(limits: ResponseStoreLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @param owner whose responses these are; the same text is the same client */
  of(owner: string): OwnResponses {
    return {
      get: (id) => this.#get(id, owner),
      item: (id) => {
        const known = this.#items.get(id);
        return known?.owner === owner ? known.item : undefined;
      },
      put: (stored) => this.#put(stored, owner),
      delete: (id) => this.#entries.get(id)?.owner === owner && this.#remove(id),
    };
  }

  #get(id: string, owner: string): StoredResponse | undefined {
    const entry = this.#entries.get(id);
    if (entry?.owner !== owner) return undefined;
    this.#entries.delete(id);
    this.#entries.set(id, entry);
    return entry;
  }

  #put({ response, input }: StoredResponse, owner: string): void {
    const bytes = sizeOf(response) + sizeOf(input);
    if (bytes > this.#limits.maxBytes) return;
    this.#entries.set(response.id, { response, input, owner, bytes });
    this.#bytes += bytes;
    for (const item of response.output) this.#items.set(item.id, { item, owner, uses: 1 });
    for (const item of input) {
      const known = this.#items.get(item.id);
      if (known?.item === item) known.uses++;
    }
    for (const id of this.#entries.keys()) {
      if (this.size <= this.#limits.maxResponses && this.#bytes <= this.#limits.maxBytes) break;
      this.#remove(id);
    }
  }

  #remove(id: string): boolean {
    const entry = this.#entries.get(id);
    if (!entry) return false;
    this.#entries.delete(id);
    this.#bytes -= entry.bytes;
    for (const item of [...entry.input, ...entry.response.output]) {
      const known = this.#items.get(item.id);
      if (known?.item === item && --known.uses === 0) this.#items.delete(item.id);
    }
    return true;
  }
}

/**
 * Strings take at most two bytes a UTF-16 unit; objects take about as much as their punctuation.
 */
const sizeOf = (value: object): number => 2 * JSON.stringify(value).length;
