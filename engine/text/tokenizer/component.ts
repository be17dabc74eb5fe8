import * as library from '@huggingface/tokenizers';
import { OctavoError } from '../../errors.js';

/**
 * The part of the library that is used: it converts Oniguruma's expressions to JavaScript's. Its
 * declarations do not resolve under `nodenext`.
 */
interface Library {
  readonly SplitPreTokenizer: new (config: {
    readonly pattern: { readonly Regex: string };
  }) => {
    readonly pattern: RegExp;
  };
}

const { SplitPreTokenizer } = library as unknown as Library;

/**
 * One part of a tokenizer.json (`{"type": "Metaspace", ...}`), read field by field. Anything
 * unknown is refused: a part that is skipped, or done in another way, silently gives wrong tokens.
 */
export class Component {
  readonly type: string;
  readonly #fields: Readonly<Record<string, unknown>>;
  readonly #where: string;

  /** @param where names file and part, for messages */
  constructor(json: unknown, where: string) {
    this.#fields = isObject(json) ? json : {};
    this.#where = where;
    const { type } = this.#fields;
    if (typeof type !== 'string') throw corrupt(`${where} must be an object with a type`);
    this.type = type;
  }

  /** @param standard default of a missing field; without it, the field is required */
  text(name: string, standard?: string): string {
    const value = this.#fields[name] ?? standard;
    if (typeof value === 'string') return value;
    throw corrupt(`${this.#where}: ${this.type}.${name} must be a text`);
  }

  flag(name: string, standard: boolean): boolean {
    const value = this.#fields[name] ?? standard;
    if (typeof value === 'boolean') return value;
    throw corrupt(`${this.#where}: ${this.type}.${name} must be true or false`);
  }

  integer(name: string, standard?: number): number {
    const value = this.#fields[name] ?? standard;
    if (typeof value === 'number' && Number.isInteger(value)) return value;
    throw corrupt(`${this.#where}: ${this.type}.${name} must be an integer`);
  }

  has(name: string): boolean {
    return this.#fields[name] !== undefined && this.#fields[name] !== null;
  }

  raw(name: string): unknown {
    return this.#fields[name];
  }

  parts(name: string): Component[] {
    const value = this.#fields[name];
    if (!Array.isArray(value)) throw corrupt(`${this.#where}: ${this.type}.${name} must be a list`);
    return value.map((part) => new Component(part, this.#where));
  }

  /** The field `pattern` as a global expression over code points. */
  pattern(): RegExp {
    const pattern = isObject(this.#fields['pattern']) ? this.#fields['pattern'] : {};
    const { String: text, Regex: source } = pattern;
    if (typeof text === 'string') return literal(text);
    if (typeof source !== 'string') {
      throw corrupt(`${this.#where}: ${this.type}.pattern must be a String or a Regex`);
    }
    try {
      return new SplitPreTokenizer({ pattern: { Regex: source } }).pattern;
    } catch {
      throw this.unsupported(`with the pattern ${source}`);
    }
  }

  /** The error for an unknown kind of part, or an unknown use of it. */
  unsupported(what = ''): OctavoError {
    const use = what === '' ? '' : ` ${what}`;
    return new OctavoError(
      'model_unsupported',
      `${this.#where}: ${this.type}${use} is not supported`,
    );
  }
}

/** An expression that matches a text literally. */
export function literal(text: string): RegExp {
  return new RegExp(text.replaceAll(/[.*+?^${}()|[\]\\/]/g, '\\$&'), 'gu');
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function corrupt(message: string): OctavoError {
  return new OctavoError('model_file_corrupt', message);
}
