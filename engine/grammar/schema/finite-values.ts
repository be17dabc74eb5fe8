import { acceptsList } from './accepts.js';
import { isTooLong } from './json-rules.js';
import type { Meet } from './located.js';
import type { RuleContext } from './rule-context.js';
import { isEqual, type Shape, shapeOf, writtenKinds } from './shape.js';

/**
 * All values that are written for a schema, each once: those of `enum` and `const`, booleans, null,
 * and integers between two bounds.
 *
 * @param most maximum number of values
 * @returns null when there are more, or when they cannot be enumerated
 */
export function finiteValues(
  meet: Meet,
  most: number,
  context: RuleContext,
): readonly unknown[] | null {
  const found: unknown[] = [];
  for (const list of context.alternativesOf(meet)) {
    const shape = shapeOf(list);
    if (!shape) continue;
    const values = shape.values ?? valuesOfKinds(shape, most);
    if (!values || values.some(isTooLong)) return null;
    for (const value of values) {
      const isNew = !found.some((other) => isEqual(other, value));
      if (isNew && acceptsList(list, value, context.document)) found.push(value);
      if (found.length > most) return null;
    }
  }
  return found;
}

function valuesOfKinds(shape: Shape, most: number): unknown[] | null {
  const kinds = writtenKinds(shape);
  const values: unknown[] = [];
  for (const kind of kinds) {
    if (kind === 'null') values.push(null);
    else if (kind === 'boolean') values.push(true, false);
    else if (kind === 'integer' && !kinds.includes('fraction')) {
      const integers = integersOf(shape, most);
      if (!integers) return null;
      values.push(...integers);
    } else return null;
  }
  return values;
}

function integersOf({ min, max, multipleOf }: Shape, most: number): number[] | null {
  if (!min || !max) return null;
  const first = Math.ceil(min.value);
  // With `multipleOf`, fewer are valid, but the whole range is still searched.
  const length = Math.floor(max.value) - first + 1;
  if (length > (multipleOf ? most * 100 : most + 2)) return null;
  return Array.from({ length: Math.max(0, length) }, (_, index) => first + index);
}
