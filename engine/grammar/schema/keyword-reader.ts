import { type Decimal, decimalOf } from './decimal.js';
import { schemaError } from './keywords.js';
import { type JsonObject, quote } from './located.js';
import type { Bound } from './numbers.js';

/** `fraction` is a number that is not an integer; the type `number` allows both. */
export type Kind = 'null' | 'boolean' | 'integer' | 'fraction' | 'string' | 'array' | 'object';

export const KINDS: readonly Kind[] = [
  'object',
  'array',
  'string',
  'integer',
  'fraction',
  'boolean',
  'null',
];

/** Maximum number of values of one `enum`; the same as for choices. */
const MAX_VALUES = 10_000;

/** A bound and its place. */
export interface LocatedBound extends Bound {
  readonly pointer: string;
}

/** What a number must be a multiple of, and where the last part of it stands. */
export interface LocatedDecimal extends Decimal {
  readonly pointer: string;
}

/** A keyword's string value and its place. */
export interface Constraint {
  readonly value: string;
  readonly pointer: string;
}

const KINDS_OF_TYPE: Readonly<Record<string, readonly Kind[]>> = {
  null: ['null'],
  boolean: ['boolean'],
  integer: ['integer'],
  number: ['integer', 'fraction'],
  string: ['string'],
  array: ['array'],
  object: ['object'],
};

/** Reads keywords of one schema, and checks that their values are valid. */
export class KeywordReader {
  readonly #schema: JsonObject;
  readonly #pointer: string;

  constructor(schema: JsonObject, pointer: string) {
    this.#schema = schema;
    this.#pointer = pointer;
  }

  fail(keyword: string, problem: string): never {
    throw schemaError(`${this.#pointer}/${keyword}`, problem);
  }

  types(): Set<Kind> | null {
    const type = this.#schema['type'];
    if (type === undefined) return null;
    const names: unknown[] = Array.isArray(type) ? type : [type];
    if (names.length === 0) this.fail('type', 'must be a type or a list of types');
    return new Set(
      names.flatMap((name) => {
        if (typeof name === 'string' && Object.hasOwn(KINDS_OF_TYPE, name))
          return KINDS_OF_TYPE[name];
        return this.fail(
          'type',
          `${quote(name)} is not a type; one of ${Object.keys(KINDS_OF_TYPE).join(', ')}`,
        );
      }),
    );
  }

  values(): unknown[][] {
    const { enum: list } = this.#schema;
    const lists: unknown[][] = [];
    if (list !== undefined) {
      if (!Array.isArray(list) || list.length === 0)
        this.fail('enum', 'must be a list of at least one value');
      if (list.length > MAX_VALUES)
        this.fail('enum', `more than ${MAX_VALUES} values are not supported`);
      lists.push(list as unknown[]);
    }
    if (this.#schema['const'] !== undefined) lists.push([this.#schema['const']]);
    return lists;
  }

  number(keyword: string): number | null {
    const value = this.#schema[keyword];
    if (value === undefined) return null;
    if (typeof value !== 'number') this.fail(keyword, 'must be a number');
    return value;
  }

  bound(keyword: string, isExclusive: boolean): LocatedBound | null {
    const value = this.number(keyword);
    return value === null ? null : { value, isExclusive, pointer: `${this.#pointer}/${keyword}` };
  }

  divisor(keyword: string): LocatedDecimal | null {
    const value = this.number(keyword);
    if (value === null) return null;
    if (value <= 0) this.fail(keyword, 'must be above 0');
    return { ...decimalOf(value), pointer: `${this.#pointer}/${keyword}` };
  }

  count(keyword: string): number | null {
    const value = this.number(keyword);
    if (value !== null && (!Number.isInteger(value) || value < 0)) {
      this.fail(keyword, 'must be an integer that is not negative');
    }
    return value;
  }

  names(keyword: string): string[] {
    const value = this.#schema[keyword];
    if (value === undefined) return [];
    if (!Array.isArray(value) || value.some((name) => typeof name !== 'string')) {
      this.fail(keyword, 'must be a list of names');
    }
    return value as string[];
  }

  text(keyword: string): Constraint[] {
    const value = this.#schema[keyword];
    if (value === undefined) return [];
    if (typeof value !== 'string') this.fail(keyword, 'must be a string');
    return [{ value, pointer: `${this.#pointer}/${keyword}` }];
  }
}
