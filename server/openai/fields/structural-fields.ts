import { OctavoError } from '../../../engine/errors.js';

// Reads the fields of structural tags, each at its place in the request, for messages.

/** Of one list. */
const MAX_ITEMS = 1000;

/** Largest count of repetitions. */
const MAX_REPEAT = 100_000;

export type Fields = Readonly<Record<string, unknown>>;

export function objectOf(value: unknown, at: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Fields;
  }
  throw refused(at, value === undefined ? 'is missing' : 'must be an object');
}

export function listOf(value: unknown, at: string): readonly unknown[] {
  if (value === undefined) throw refused(at, 'is missing');
  if (Array.isArray(value) && value.length > 0 && value.length <= MAX_ITEMS) {
    return value as unknown[];
  }
  throw refused(at, `must be a list of 1 to ${MAX_ITEMS} items`);
}

export function textOf(value: unknown, at: string): string {
  if (typeof value === 'string') return value;
  throw refused(at, value === undefined ? 'is missing' : 'must be a text');
}

/** Texts that free text does not have. */
export function excludesOf(fields: Fields, at: string): string[] {
  const { excludes = [] } = fields;
  if (Array.isArray(excludes) && excludes.length === 0) return [];
  return textsOf(excludes, `${at}.excludes`);
}

/** Texts that are not empty. */
export function textsOf(value: unknown, at: string): string[] {
  return listOf(value, at).map((item, index) => {
    const text = textOf(item, `${at}[${index}]`);
    if (text === '') throw refused(`${at}[${index}]`, 'must not be empty');
    return text;
  });
}

/** What begins or ends a tag; it may be empty. */
export function delimiterOf(value: unknown, at: string): string {
  if (typeof value !== 'object' || value === null) return textOf(value, at);
  throw refused(at, 'must be a text: tokens are not supported');
}

/** @param minimum smallest that is allowed */
export function countOf(value: unknown, at: string, minimum: number): number {
  const isCount = typeof value === 'number' && Number.isInteger(value);
  if (isCount && value >= minimum && value <= MAX_REPEAT) return value;
  throw refused(at, `must be an integer from ${minimum} to ${MAX_REPEAT}`);
}

export const refused = (param: string, problem: string): OctavoError =>
  new OctavoError('invalid_request', `${param} ${problem}`, { param });
