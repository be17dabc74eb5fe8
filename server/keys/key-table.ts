import { timingSafeEqual } from 'node:crypto';
import { type ApiKey, digestOf, plainKey } from './api-key.js';

/** The keys of a server: those of its flags, and those of its file, which may change. */
export class KeyTable {
  readonly #plain: readonly ApiKey[];
  #named: readonly ApiKey[];
  /** Whether there is a file of keys. */
  readonly hasFile: boolean;

  /** @param named those of the file; null: there is none */
  constructor(plain: readonly string[], named: readonly ApiKey[] | null = null) {
    this.#plain = [...new Set(plain)].map(plainKey);
    this.#named = named ?? [];
    this.hasFile = named !== null;
  }

  /** Whether a request needs a key. */
  get isRequired(): boolean {
    return this.hasFile || this.#plain.length > 0;
  }

  get all(): readonly ApiKey[] {
    return [...this.#named, ...this.#plain];
  }

  /** The file has changed: keys that it has no more are refused from now on. */
  replaceNamed(keys: readonly ApiKey[]): void {
    this.#named = keys;
  }

  /** The key of a digest, in hexadecimal; null when it is no key any more. */
  findDigest(hex: string): ApiKey | null {
    return this.all.find(({ digest }) => digest.toString('hex') === hex) ?? null;
  }

  /**
   * Digests have the same length, and all are compared, so the time reveals nothing about any key.
   */
  find(given: string): ApiKey | null {
    const candidate = digestOf(given);
    let found: ApiKey | null = null;
    for (const key of this.all) if (timingSafeEqual(key.digest, candidate)) found = key;
    return found;
  }
}
