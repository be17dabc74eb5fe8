import { OctavoError } from '../errors.js';
import type { GrammarSpec, StructurePart } from '../protocol/request.js';

/** Counts of what makes a grammar slow to build, over all tools and schemas of a request. */
export interface Sizes {
  /** Characters of all sources, texts and choices. */
  readonly characters: number;
  /** Declared properties, and names in `required`. */
  readonly properties: number;
  /** Values in `enum` and `const`, and choices. */
  readonly values: number;
  /**
   * Alternatives of `anyOf` and `oneOf`, schemas of `allOf`, `prefixItems` and lists of `items`.
   */
  readonly branches: number;
}

/** Limits above which a grammar is refused. */
export const MAX_SIZES: Sizes = {
  characters: 500_000,
  properties: 20_000,
  values: 20_000,
  branches: 20_000,
};

const WORDS: Readonly<Record<keyof Sizes, string>> = {
  characters: 'characters',
  properties: 'properties',
  values: 'values in enum, const and choices',
  branches: 'alternatives and schemas in lists',
};

/** For messages: "12 properties, 3 values in enum, const and choices". Zero counts are left out. */
export function describeSizes(sizes: Sizes): string {
  const kinds = Object.keys(WORDS) as (keyof Sizes)[];
  return kinds
    .filter((kind) => sizes[kind] > 0)
    .map((kind) => `${sizes[kind]} ${WORDS[kind]}`)
    .join(', ');
}

/**
 * The cheapest check: compares lengths, and parses nothing.
 *
 * @returns the number of characters
 * @throws OctavoError `invalid_request`
 */
export function assertShort(spec: GrammarSpec): number {
  const characters = lengthOf(spec);
  if (characters > MAX_SIZES.characters) throw tooMany('characters', characters);
  return characters;
}

/**
 * Counts the parts of a grammar before any of it is built.
 *
 * @throws OctavoError `invalid_request`: names the count that is too large
 */
export function assertSmall(spec: GrammarSpec): Sizes {
  const count = { characters: assertShort(spec), properties: 0, values: 0, branches: 0 };
  for (const part of partsOf(spec)) {
    if (part.kind === 'choice') count.values += part.choices.length;
    if (part.kind === 'json-schema') countSchema(part.source, count);
  }
  for (const kind of ['properties', 'values', 'branches'] as const) {
    if (count[kind] > MAX_SIZES[kind]) throw tooMany(kind, count[kind]);
  }
  return count;
}

function tooMany(kind: keyof Sizes, count: number): OctavoError {
  return new OctavoError(
    'invalid_request',
    `the grammar has ${count} ${WORDS[kind]}; at most ${MAX_SIZES[kind]} are supported`,
  );
}

/** All parts of a grammar, in no particular order. */
function* partsOf(spec: GrammarSpec): Generator<GrammarSpec | StructurePart> {
  const left: (GrammarSpec | StructurePart)[] = [spec];
  for (let part = left.pop(); part; part = left.pop()) {
    yield part;
    if (part.kind === 'structure' || part.kind === 'repeat') left.push(...part.parts);
    if (part.kind === 'alternatives') for (const parts of part.of) left.push(...parts);
    if (part.kind === 'dispatch') for (const { parts } of part.rules) left.push(...parts);
  }
}

function lengthOf(spec: GrammarSpec): number {
  let length = 0;
  for (const part of partsOf(spec)) {
    if ('source' in part) length += part.source.length;
    if (part.kind === 'literal') length += part.text.length;
    if (part.kind === 'repeat') length += part.separator.length;
    if (part.kind === 'dispatch') for (const { trigger } of part.rules) length += trigger.length;
    if ('excludes' in part) for (const text of part.excludes) length += text.length;
    if (part.kind === 'choice') for (const choice of part.choices) length += choice.length;
  }
  return length;
}

type Count = { -readonly [Kind in keyof Sizes]: number };

const LISTS = new Set(['anyOf', 'oneOf', 'allOf', 'prefixItems', 'items']);

/**
 * Not recursive, because the depth is checked only later. Contents of constants are counted as if
 * they were schemas.
 */
function countSchema(source: string, count: Count): void {
  let schema: unknown;
  try {
    schema = JSON.parse(source);
  } catch {
    // Invalid JSON: the parser that reads it later reports the error.
    return;
  }
  const left: unknown[] = [schema];
  for (let value = left.pop(); value !== undefined; value = left.pop()) {
    if (typeof value !== 'object' || value === null) continue;
    if (Array.isArray(value)) {
      for (const item of value) left.push(item);
      continue;
    }
    for (const [key, inner] of Object.entries(value)) {
      if (key === 'enum' && Array.isArray(inner)) count.values += inner.length;
      else if (key === 'const') count.values += 1;
      else if (key === 'properties' && isObject(inner))
        count.properties += Object.keys(inner).length;
      else if (key === 'required' && Array.isArray(inner)) count.properties += inner.length;
      else if (LISTS.has(key) && Array.isArray(inner)) count.branches += inner.length;
      left.push(inner);
    }
  }
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
