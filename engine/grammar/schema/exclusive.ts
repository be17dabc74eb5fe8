import { acceptsList, nameMeet } from './accepts.js';
import { alternatives } from './alternatives.js';
import type { Kind } from './keyword-reader.js';
import { schemaError } from './keywords.js';
import { isObject, type Meet, type SchemaDocument } from './located.js';
import { propertyMeet } from './member-schemas.js';
import { type Shape, shapeOf, writtenKinds } from './shape.js';

/** Depth to which properties of properties are compared: recursive schemas have no end. */
const MAX_DEPTH = 3;

/**
 * Maximum number of pairs of alternatives that are compared, over all `oneOf` of a schema: 10 us
 * each.
 */
const MAX_PAIRS = 40_000;

/**
 * Checks that alternatives of a `oneOf` exclude each other: a value must be valid in only one. The
 * output is written by one alternative, so the others must be known to refuse it.
 *
 * @param branches for each alternative, its lists
 * @throws OctavoError `invalid_request` unless all pairs of alternatives are proved to exclude each
 *   other
 */
export function checkExclusive(
  branches: readonly (readonly Meet[])[],
  pointer: string,
  document: SchemaDocument,
): void {
  const count = branches.reduce((sum, lists) => sum + lists.length, 0);
  document.pairs += (count * (count - 1)) / 2;
  if (document.pairs > MAX_PAIRS) {
    throw schemaError(pointer, `with all other oneOf, more than ${MAX_PAIRS} pairs to compare`);
  }
  branches.forEach((branch, index) => {
    const other = branches.findIndex((b, i) => i > index && !areApart(branch, b, document, 0));
    if (other < 0) return;
    throw schemaError(
      pointer,
      `alternatives ${index} and ${other} might both be valid: give them different types, constants, or ` +
        'different constants in a required property, or use anyOf',
    );
  });
}

function areApart(
  a: readonly Meet[],
  b: readonly Meet[],
  document: SchemaDocument,
  depth: number,
): boolean {
  if (depth > MAX_DEPTH) return false;
  return a.every((one) =>
    b.every(
      (other) => excludes(one, other, document, depth) && excludes(other, one, document, depth),
    ),
  );
}

/** Whether no value that is written for `list` is valid for `other`. */
function excludes(list: Meet, other: Meet, document: SchemaDocument, depth: number): boolean {
  const written = shapeOf(list);
  const checked = shapeOf(other);
  if (!written || !checked) return true;
  if (written.values) {
    return written.values.every(
      (value) => !acceptsList(list, value, document) || !acceptsList(other, value, document),
    );
  }
  // The reverse direction of the same pair; excluding each other is symmetric.
  if (checked.values) return checked.values.every((value) => !acceptsList(list, value, document));
  return writtenKinds(written).every(
    (kind) => !checked.kinds.has(kind) || excludesKind(kind, written, checked, document, depth),
  );
}

function excludesKind(
  kind: Kind,
  written: Shape,
  checked: Shape,
  document: SchemaDocument,
  depth: number,
): boolean {
  if (kind === 'integer' || kind === 'fraction') {
    const isBelow = (a: Shape, b: Shape): boolean =>
      !!a.max && !!b.min && a.max.value < b.min.value;
    return isBelow(written, checked) || isBelow(checked, written);
  }
  if (kind !== 'object') return false;
  const tellsApart = (name: string): boolean =>
    areApart(
      alternatives(propertyMeet(written, name, document), document),
      alternatives(propertyMeet(checked, name, document), document),
      document,
      depth + 1,
    );
  return (
    written.required.some(tellsApart) || checked.required.some((name) => neverHas(written, name))
  );
}

/** Whether objects that are written for the shape never have this property. */
function neverHas(shape: Shape, name: string): boolean {
  const isNamed = (value: unknown): boolean => isObject(value) && Object.hasOwn(value, name);
  if (shape.required.includes(name) || nameMeet(shape).length > 0) return false;
  const isDeclared = shape.parts.some(({ schema }) => isNamed(schema['properties']));
  const isOpen = shape.parts.some(
    ({ schema }) =>
      schema['patternProperties'] !== undefined ||
      (schema['additionalProperties'] !== undefined && schema['additionalProperties'] !== false),
  );
  const namesAny = shape.parts.some(({ schema }) => isObject(schema['properties']));
  return !isDeclared && !isOpen && namesAny;
}
