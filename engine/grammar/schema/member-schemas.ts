import { matchesPattern } from '../language/matcher.js';
import {
  child,
  isObject,
  type JsonObject,
  type Located,
  type Meet,
  type SchemaDocument,
} from './located.js';
import type { Shape } from './shape.js';

/**
 * The schemas that the parts of a shape have for one property: its declarations, and
 * `additionalProperties` of the parts that do not declare it.
 */
export function propertyMeet(shape: Shape, name: string, { work }: SchemaDocument): Meet {
  return shape.parts.flatMap(({ located, schema }) => {
    const { properties, additionalProperties, patternProperties } = schema;
    const meet: Located[] = [];
    if (isObject(properties) && Object.hasOwn(properties, name)) {
      meet.push(child(located, 'properties', name));
    }
    if (isObject(patternProperties)) {
      for (const pattern of Object.keys(patternProperties)) {
        const at = `the JSON schema at ${located.pointer}/patternProperties`;
        if (matchesPattern(pattern, name, at, work))
          meet.push(child(located, 'patternProperties', pattern));
      }
    }
    if (meet.length === 0 && additionalProperties !== undefined) {
      meet.push(child(located, 'additionalProperties'));
    }
    return meet;
  });
}

/** The schemas that the parts of a shape have for the item at `index`. */
export function itemMeet(shape: Shape, index: number): Meet {
  return shape.parts.flatMap(({ located, schema }) => {
    const prefix = prefixOf(schema);
    if (prefix && index < prefix.length) return [child(located, prefix.keyword, String(index))];
    const rest = prefix?.keyword === 'items' ? 'additionalItems' : 'items';
    return schema[rest] === undefined ? [] : [child(located, rest)];
  });
}

/** `prefixItems`, or the list of draft 7's `items`. */
function prefixOf(schema: JsonObject): { keyword: string; length: number } | null {
  for (const keyword of ['prefixItems', 'items']) {
    const value = schema[keyword];
    if (Array.isArray(value)) return { keyword, length: value.length };
  }
  return null;
}

/** Items that have schemas of their own. */
export const prefixLength = ({ parts }: Shape): number =>
  parts.reduce((most, { schema }) => Math.max(most, prefixOf(schema)?.length ?? 0), 0);
