import type { GgufMetadata } from '../checkpoint/gguf.js';
import { clip, clipName } from '../clip.js';
import { OctavoError } from '../errors.js';

/** Metadata of a GGUF file, read key by key; keys of the architecture without its prefix. */
export class GgufKeys {
  readonly file: string;
  readonly architecture: string;
  readonly #metadata: GgufMetadata;

  /** @throws OctavoError `model_file_corrupt` without a general.architecture */
  constructor(file: string, metadata: GgufMetadata) {
    this.file = file;
    this.#metadata = metadata;
    this.architecture = this.text('general.architecture');
  }

  /** A number of the architecture; null when the file does not state it. */
  maybe(key: string): number | null {
    const name = `${this.architecture}.${key}`;
    const value = this.#metadata.get(name);
    if (value === undefined) return null;
    // Some files state the same number for each layer.
    const list = typeof value === 'object' ? Array.from<unknown>(value) : [value];
    const [first] = list;
    if (typeof first !== 'number' || !Number.isFinite(first)) throw this.#wrong(name, 'a number');
    if (list.every((other) => other === first)) return first;
    throw new OctavoError(
      'model_unsupported',
      `${this.file}: ${name} differs between layers; models are served whose layers have one size`,
    );
  }

  /** A number of each layer, which the file states for all of them together or one by one. */
  byLayer(key: string, layers: number): number[] {
    const name = `${this.architecture}.${key}`;
    if (typeof this.#metadata.get(name) === 'object') return this.numbers(name, layers) ?? [];
    return Array<number>(layers).fill(this.number(key));
  }

  number(key: string): number {
    const found = this.maybe(key);
    if (found === null) throw this.#wrong(`${this.architecture}.${key}`, 'a number');
    return found;
  }

  /** A whole number from 1 to `most`. */
  count(key: string, most: number): number {
    const found = this.number(key);
    if (Number.isSafeInteger(found) && found >= 1 && found <= most) return found;
    throw this.#wrong(`${this.architecture}.${key}`, `a whole number from 1 to ${most}`);
  }

  /** A text of any key. */
  text(name: string): string {
    const value = this.maybeText(name);
    if (value === null) throw this.#wrong(name, 'a text');
    return value;
  }

  maybeText(name: string): string | null {
    const value = this.#metadata.get(name);
    if (value === undefined) return null;
    if (typeof value === 'string') return value;
    throw this.#wrong(name, 'a text');
  }

  flag(name: string, otherwise: boolean): boolean {
    const value = this.#metadata.get(name) ?? otherwise;
    if (typeof value === 'boolean') return value;
    throw this.#wrong(name, 'true or false');
  }

  /** True or false for each of so many; null when the file does not state it. */
  flags(name: string, length: number): boolean[] | null {
    const value = this.#metadata.get(name);
    if (value === undefined) return null;
    const list = typeof value === 'object' ? Array.from<unknown>(value) : [];
    if (list.length === length && list.every((item) => typeof item === 'boolean')) return list;
    throw this.#wrong(name, `a list of ${length} flags`);
  }

  /** The number of one of so many tokens. */
  id(name: string, tokens: number): number | null {
    const value = this.#metadata.get(name);
    if (value === undefined) return null;
    const isToken = typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
    if (isToken && value < tokens) return value;
    throw this.#wrong(name, `the number of a token, from 0 to ${tokens - 1}`);
  }

  texts(name: string): string[] {
    const value = this.#metadata.get(name);
    if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
    throw this.#wrong(name, 'a list of texts');
  }

  /** A list of numbers of a length; null when the file does not state it. */
  numbers(name: string, length: number): number[] | null {
    const value = this.#metadata.get(name);
    if (value === undefined) return null;
    const list = typeof value === 'object' ? Array.from<unknown>(value) : [];
    if (list.length === length && list.every((item) => typeof item === 'number')) return list;
    throw this.#wrong(name, `a list of ${length} numbers`);
  }

  unsupported(what: string): OctavoError {
    return new OctavoError('model_unsupported', `${this.file}: ${what}`);
  }

  corrupt(what: string): OctavoError {
    return new OctavoError('model_file_corrupt', `${this.file}: ${what}`);
  }

  #wrong(name: string, expected: string): OctavoError {
    const value = this.#metadata.get(name);
    const shown = typeof value === 'object' ? `a list of ${value.length}` : JSON.stringify(value);
    return this.corrupt(
      `${clipName(name)} must be ${expected}, got ${clip(shown ?? 'nothing', 80)}`,
    );
  }
}
