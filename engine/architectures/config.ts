import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { clip } from '../clip.js';
import { OctavoError } from '../errors.js';
import { parsePythonJson } from '../python-json.js';

type Json = Readonly<Record<string, unknown>>;

/** Of layers, and of experts in a layer: the largest models have some hundreds. */
const MOST_PARTS = 4096;

/**
 * A model's configuration, read key by key: a family asks for what it needs, and a wrong value is
 * an error that names the file and the key. A default is the family's own, for keys that its
 * configurations leave out.
 */
export class Config {
  /** Path, for messages. */
  readonly file: string;
  readonly values: Json;

  constructor(file: string, values: Json) {
    this.file = file;
    this.values = values;
  }

  /** Whether a key is there, and not null. */
  has(key: string): boolean {
    return this.values[key] !== undefined && this.values[key] !== null;
  }

  /** A whole number above 0. */
  size(key: string, otherwise?: number): number {
    const value = this.number(key, otherwise);
    if (Number.isSafeInteger(value) && value > 0) return value;
    throw this.wrong(key, 'a whole number above 0');
  }

  /** How many layers, or experts in each: an absurd number would take forever to describe. */
  count(key: string, otherwise?: number): number {
    const value = this.size(key, otherwise);
    if (value <= MOST_PARTS) return value;
    throw this.wrong(key, `at most ${MOST_PARTS}`);
  }

  number(key: string, otherwise?: number): number {
    const value = this.#get(key, otherwise);
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    throw this.wrong(key, 'a number');
  }

  flag(key: string, otherwise: boolean): boolean {
    const value = this.#get(key, otherwise);
    if (typeof value === 'boolean') return value;
    throw this.wrong(key, 'true or false');
  }

  text(key: string, otherwise?: string): string {
    const value = this.#get(key, otherwise);
    if (typeof value === 'string') return value;
    throw this.wrong(key, 'a text');
  }

  /** A sliding window in tokens; 0 when the key says null. */
  window(key: string, otherwise: number): number {
    return this.values[key] === null ? 0 : this.number(key, otherwise);
  }

  /** A list of numbers, of the given length; null when the key is absent. */
  numbers(key: string, length: number): number[] | null {
    if (!this.has(key)) return null;
    const value = this.values[key];
    if (Array.isArray(value) && value.length === length && value.every(isFinite)) {
      return value as number[];
    }
    throw this.wrong(key, `a list of ${length} numbers`);
  }

  /** A list of layers' numbers; empty when the key is absent. */
  list(key: string): number[] {
    const value = this.#get(key, []);
    if (Array.isArray(value) && value.every(isFinite)) return value as number[];
    throw this.wrong(key, 'a list of numbers');
  }

  /** A list of texts, one for each layer; null when the key is absent. */
  texts(key: string, length: number): string[] | null {
    if (!this.has(key)) return null;
    const value = this.values[key];
    const fits = Array.isArray(value) && value.length === length;
    if (fits && value.every((item) => typeof item === 'string')) return value;
    throw this.wrong(key, `a list of ${length} texts`);
  }

  /** An object inside; null when the key is absent. */
  inner(key: string): Config | null {
    if (!this.has(key)) return null;
    const value = this.values[key];
    if (typeof value !== 'object' || Array.isArray(value)) throw this.wrong(key, 'an object');
    return new Config(this.file, value as Json);
  }

  /** This configuration with some values of another before its own. */
  with(values: Json): Config {
    return new Config(this.file, { ...this.values, ...values });
  }

  /** Other values of the same file. */
  inside(values: Json): Config {
    return new Config(this.file, values);
  }

  keys(): string[] {
    return Object.keys(this.values).filter((key) => this.has(key));
  }

  wrong(key: string, expected: string): OctavoError {
    const shown = clip(JSON.stringify(this.values[key]) ?? 'nothing', 80);
    return new OctavoError(
      'model_file_corrupt',
      `${this.file}: ${key} must be ${expected}, got ${shown}`,
    );
  }

  /** For what is valid, but not computed. */
  unsupported(what: string): OctavoError {
    return new OctavoError('model_unsupported', `${this.file}: ${what}`);
  }

  #get(key: string, otherwise: unknown): unknown {
    return this.has(key) ? this.values[key] : otherwise;
  }
}

/**
 * Reads a model's config.json.
 *
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`
 */
export async function readConfig(dir: string): Promise<Config> {
  const file = join(dir, 'config.json');
  let value: unknown;
  try {
    value = parsePythonJson(await readFile(file, 'utf8'));
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) {
      throw new OctavoError('model_file_missing', `${file}: cannot be read; a model needs it`, {
        cause,
      });
    }
    throw new OctavoError('model_file_corrupt', `${file}: is not JSON`, { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new OctavoError('model_file_corrupt', `${file}: must hold a JSON object`);
  }
  return new Config(file, value as Json);
}

function isFinite(value: unknown): boolean {
  return typeof value === 'number' && Number.isFinite(value);
}
