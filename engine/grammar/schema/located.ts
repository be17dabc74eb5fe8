import type { Work } from '../language/automaton.js';
import { schemaError } from './keywords.js';

export type JsonObject = { readonly [key: string]: unknown };

/** A schema in the client's document, identified by its JSON pointer. */
export interface Located {
  readonly schema: JsonObject | boolean;
  readonly pointer: string;
}

/** Schemas that all hold for one value. */
export type Meet = readonly Located[];

/** The client's document: resolves references, and counts the work spent on it. */
export class SchemaDocument {
  readonly root: Located;
  /** Number of pairs of alternatives that were compared. */
  pairs = 0;
  /** Work spent on matching the schema's own values against its patterns. */
  readonly work: Work = { spent: 0 };

  constructor(schema: unknown) {
    this.root = locate(schema, '');
  }

  /**
   * @throws OctavoError `invalid_request` when the reference is not local, or its target does not
   *   exist
   */
  resolve(reference: unknown, from: string): Located {
    const at = `${from}/$ref`;
    if (typeof reference !== 'string') throw schemaError(at, 'must be a string');
    const { schema } = this.root;
    const base =
      typeof schema === 'object' && typeof schema['$id'] === 'string' ? schema['$id'] : '';
    const local =
      base !== '' && reference.startsWith(`${base}#`) ? reference.slice(base.length) : reference;
    if (local !== '#' && !local.startsWith('#/')) {
      throw schemaError(
        at,
        `${quote(reference)} is not in this schema; a reference must begin with #/`,
      );
    }
    let value: unknown = schema;
    const pointer = decodePointer(local.slice(1));
    for (const key of pointer) {
      const isThere = typeof value === 'object' && value !== null && Object.hasOwn(value, key);
      if (!isThere) throw schemaError(at, `${quote(reference)} leads nowhere`);
      value = (value as JsonObject)[key];
    }
    return locate(value, pointer.map((key) => `/${escapeKey(key)}`).join(''));
  }
}

/** Takes a keyword's value as a schema. */
export function locate(schema: unknown, pointer: string): Located {
  if (typeof schema === 'boolean') return { schema, pointer };
  if (!isObject(schema)) throw schemaError(pointer, 'must be an object, true or false');
  if (pointer !== '' && schema['$id'] !== undefined) {
    throw schemaError(pointer, 'the keyword "$id" is supported at the root only');
  }
  return { schema, pointer };
}

export const child = ({ schema, pointer }: Located, ...path: readonly string[]): Located => {
  let value: unknown = schema;
  for (const key of path) value = (value as JsonObject)[key];
  return locate(value, pointer + path.map((key) => `/${escapeKey(key)}`).join(''));
};

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const quote = (value: unknown): string => {
  const text = JSON.stringify(value) ?? 'undefined';
  return text.length > 100 ? `${text.slice(0, 99)}…` : text;
};

const escapeKey = (key: string): string => key.replaceAll('~', '~0').replaceAll('/', '~1');

function decodePointer(fragment: string): string[] {
  let decoded = fragment;
  try {
    decoded = decodeURIComponent(fragment);
  } catch {
    // A stray percent sign stands for itself.
  }
  return decoded
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}
