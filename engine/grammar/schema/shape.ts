import { leastCommonMultiple } from './decimal.js';
import {
  type Constraint,
  KeywordReader,
  KINDS,
  type Kind,
  type LocatedBound,
  type LocatedDecimal,
} from './keyword-reader.js';
import { isObject, type JsonObject, type Located, type Meet } from './located.js';

/** The combined keywords of a list of schemas. */
export interface Shape {
  /** Kinds that `type` allows. */
  readonly kinds: ReadonlySet<Kind>;
  /** Kinds that some keyword concerns. */
  readonly mentioned: ReadonlySet<Kind>;
  /** Values that `enum` and `const` allow; null for any. */
  readonly values: readonly unknown[] | null;
  readonly min: LocatedBound | null;
  readonly max: LocatedBound | null;
  /** The least common multiple of all `multipleOf`. */
  readonly multipleOf: LocatedDecimal | null;
  readonly minLength: number;
  readonly maxLength: number | null;
  readonly patterns: readonly Constraint[];
  readonly formats: readonly Constraint[];
  readonly minItems: number;
  readonly maxItems: number | null;
  readonly uniqueItems: string | null;
  readonly minProperties: number;
  readonly maxProperties: number | null;
  readonly required: readonly string[];
  /** The schemas of the list. */
  readonly parts: readonly { readonly located: Located; readonly schema: JsonObject }[];
  /** JSON pointer for messages. */
  readonly pointer: string;
}

const KINDS_OF_KEYWORD: Readonly<Record<string, readonly Kind[]>> = {
  properties: ['object'],
  required: ['object'],
  additionalProperties: ['object'],
  patternProperties: ['object'],
  propertyNames: ['object'],
  minProperties: ['object'],
  maxProperties: ['object'],
  items: ['array'],
  prefixItems: ['array'],
  minItems: ['array'],
  maxItems: ['array'],
  uniqueItems: ['array'],
  minLength: ['string'],
  maxLength: ['string'],
  pattern: ['string'],
  format: ['string'],
  minimum: ['integer', 'fraction'],
  maximum: ['integer', 'fraction'],
  exclusiveMinimum: ['integer', 'fraction'],
  exclusiveMaximum: ['integer', 'fraction'],
  multipleOf: ['integer', 'fraction'],
};

/**
 * @param list schemas whose own keywords are combined, without those they refer to
 * @returns null when one of them is `false`
 * @throws OctavoError `invalid_request` for a keyword whose value is invalid or cannot be enforced
 */
export function shapeOf(list: Meet): Shape | null {
  if (list.some(({ schema }) => schema === false)) return null;
  let kinds = new Set<Kind>(KINDS);
  const mentioned = new Set<Kind>();
  let values: unknown[] | null = null;
  let [min, max]: [LocatedBound | null, LocatedBound | null] = [null, null];
  let [minLength, minItems, minProperties] = [0, 0, 0];
  let maxLength: number | null = null;
  let maxItems: number | null = null;
  let maxProperties: number | null = null;
  let uniqueItems: string | null = null;
  let multipleOf: LocatedDecimal | null = null;
  const required = new Set<string>();
  const patterns: Constraint[] = [];
  const formats: Constraint[] = [];
  const parts: { located: Located; schema: JsonObject }[] = [];
  for (const located of list) {
    const { schema } = located;
    if (typeof schema === 'boolean') continue;
    parts.push({ located, schema });
    const read = new KeywordReader(schema, located.pointer);
    for (const keyword of Object.keys(schema)) {
      for (const kind of KINDS_OF_KEYWORD[keyword] ?? []) mentioned.add(kind);
    }
    const types = read.types();
    if (types) kinds = new Set([...kinds].filter((kind) => types.has(kind)));
    for (const allowed of read.values()) values = values ? common(values, allowed) : allowed;
    min = tighter(min, read.bound('minimum', false), 1);
    min = tighter(min, read.bound('exclusiveMinimum', true), 1);
    max = tighter(max, read.bound('maximum', false), -1);
    max = tighter(max, read.bound('exclusiveMaximum', true), -1);
    multipleOf = both(multipleOf, read.divisor('multipleOf'));
    minLength = Math.max(minLength, read.count('minLength') ?? 0);
    minItems = Math.max(minItems, read.count('minItems') ?? 0);
    minProperties = Math.max(minProperties, read.count('minProperties') ?? 0);
    maxLength = least(maxLength, read.count('maxLength'));
    maxItems = least(maxItems, read.count('maxItems'));
    maxProperties = least(maxProperties, read.count('maxProperties'));
    for (const name of read.names('required')) required.add(name);
    if (schema['uniqueItems'] !== undefined && schema['uniqueItems'] !== false) {
      if (schema['uniqueItems'] !== true) read.fail('uniqueItems', 'must be true or false');
      uniqueItems = `${located.pointer}/uniqueItems`;
    }
    patterns.push(...read.text('pattern'));
    formats.push(...read.text('format'));
  }
  if (multipleOf?.scale === 0) kinds.delete('fraction');
  return {
    kinds,
    mentioned,
    values,
    min,
    max,
    multipleOf,
    minLength,
    maxLength,
    patterns,
    formats,
    minItems,
    maxItems,
    uniqueItems,
    minProperties,
    maxProperties,
    required: [...required],
    parts,
    pointer: list[0]?.pointer ?? '',
  };
}

/**
 * The kinds that are written for a schema without `type`: those that its keywords concern, as
 * authors of schemas mean it. Values of other kinds would be valid, too, but are not written.
 */
export function writtenKinds({ kinds, mentioned, parts }: Shape): Kind[] {
  const isTyped = parts.some(({ schema }) => schema['type'] !== undefined);
  const meant = isTyped || mentioned.size === 0 ? kinds : mentioned;
  return KINDS.filter((kind) => kinds.has(kind) && meant.has(kind));
}

const least = (a: number | null, b: number | null): number | null =>
  a === null ? b : b === null ? a : Math.min(a, b);

function tighter(
  a: LocatedBound | null,
  b: LocatedBound | null,
  sign: 1 | -1,
): LocatedBound | null {
  if (!a || !b) return a ?? b;
  if (a.value === b.value) return a.isExclusive ? a : b;
  return (a.value - b.value) * sign > 0 ? a : b;
}

function both(a: LocatedDecimal | null, b: LocatedDecimal | null): LocatedDecimal | null {
  return a && b ? { ...leastCommonMultiple(a, b), pointer: b.pointer } : (a ?? b);
}

function common(a: readonly unknown[], b: readonly unknown[]): unknown[] {
  const plain = new Set(b);
  const objects = b.filter((other) => typeof other === 'object');
  return a.filter((value) => plain.has(value) || objects.some((other) => isEqual(value, other)));
}

/** Equality of JSON values, whatever the order of an object's members. */
export function isEqual(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, index) => isEqual(item, b[index]));
  }
  if (!isObject(a) || !isObject(b)) return a === b;
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  return keys.every((key) => Object.hasOwn(b, key) && isEqual(a[key], b[key]));
}
