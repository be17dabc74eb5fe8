import { IsArray, IsObject, IsUnion, type TSchema, Type } from 'typebox';
import { Check } from 'typebox/value';

/**
 * A schema whose fields that may be lists of several kinds allow only the kind that is meant: the one, or ones, that the first item of
 * the value fits. Without it, a list of texts that is too long would be blamed for not being a list of numbers.
 */
export function narrowLists(schema: TSchema, value: unknown): TSchema {
  if (!IsObject(schema) || typeof value !== 'object' || value === null) return schema;
  const fields = Object.entries(schema.properties).map(([name, field]): [string, TSchema] => {
    const given: unknown = Object.hasOwn(value, name) ? Reflect.get(value, name) : undefined;
    return [name, Array.isArray(given) && given.length > 0 ? narrowed(field, given[0]) : field];
  });
  return { ...schema, properties: Object.fromEntries(fields) };
}

function narrowed(field: TSchema, first: unknown): TSchema {
  const meant = formsOf(field).filter((form) => IsArray(form) && Check(form.items, first));
  if (meant.length === 0) return field;
  return meant.length === 1 ? meant[0] : Type.Union(meant);
}

const formsOf = (schema: TSchema): TSchema[] =>
  IsUnion(schema) ? schema.anyOf.flatMap(formsOf) : [schema];
