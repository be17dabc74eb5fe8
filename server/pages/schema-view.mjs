/** @import { Schema } from './openapi-types.js' */
import { make } from './elements.mjs';

/** Deeper, a document that contains itself would not end. */
const MAX_DEPTH = 12;

/**
 * What is not null of a schema that may be null.
 *
 * @param {Schema} schema
 * @returns {{ parts: readonly Schema[], nullable: boolean }}
 */
function alternatives(schema) {
  const parts = schema.anyOf ?? schema.oneOf ?? [schema];
  const rest = parts.filter(({ type }) => type !== 'null');
  return { parts: rest, nullable: rest.length < parts.length };
}

/**
 * A schema in a few words: "integer, 1 to 20, or null".
 *
 * @param {Schema} schema
 * @returns {string}
 */
export function typeWords(schema) {
  const { parts, nullable } = alternatives(schema);
  const words = [...new Set(parts.map(oneType))];
  if (nullable) words.push('null');
  return words.length > 0 ? words.join(' or ') : 'null';
}

/**
 * @param {Schema} schema
 * @returns {string}
 */
function oneType(schema) {
  if (schema.anyOf || schema.oneOf) return typeWords(schema);
  if (schema.$ref) return schema.$ref.split('/').at(-1) ?? '';
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' or ');
  if (schema.type === 'array') {
    const of = schema.items ? ` of ${typeWords(schema.items)}` : '';
    return `array${of}${range(schema.minItems, schema.maxItems, ' items')}`;
  }
  const type = schema.type ? String(schema.type) : schema.properties ? 'object' : 'anything';
  const above = schema.exclusiveMinimum === undefined ? '' : `, above ${schema.exclusiveMinimum}`;
  const below = schema.exclusiveMaximum === undefined ? '' : `, below ${schema.exclusiveMaximum}`;
  return [
    type,
    above,
    range(schema.minimum, schema.maximum),
    below,
    range(schema.minLength, schema.maxLength, ' characters'),
  ].join('');
}

/**
 * @param {number | undefined} least
 * @param {number | undefined} most
 */
function range(least, most, unit = '') {
  // The largest integer that JSON carries exactly is no limit of the field.
  const end = most !== undefined && most >= Number.MAX_SAFE_INTEGER ? undefined : most;
  const start = least !== undefined && least <= Number.MIN_SAFE_INTEGER ? undefined : least;
  if (start !== undefined && end !== undefined) return `, ${start} to ${end}${unit}`;
  if (start !== undefined) return `, at least ${start}${unit}`;
  if (end !== undefined) return `, at most ${end}${unit}`;
  return '';
}

/**
 * Objects that a schema is made of, also within arrays.
 *
 * @param {Schema} schema
 * @returns {Schema[]}
 */
function objectsOf(schema) {
  return alternatives(schema).parts.flatMap((part) => {
    if (part.anyOf || part.oneOf) return objectsOf(part);
    if (part.items) return objectsOf(part.items);
    return part.properties ? [part] : [];
  });
}

/**
 * The fields of a schema, those of objects within them folded.
 *
 * @param {Schema} schema
 * @returns {HTMLElement | null} null: it has no fields
 */
export function fieldsView(schema, depth = 0) {
  const objects = objectsOf(schema);
  if (objects.length === 0 || depth > MAX_DEPTH) return null;
  const box = make('div', 'fields');
  for (const [index, object] of objects.entries()) {
    if (index > 0) box.append(make('p', 'muted', 'or'));
    const list = make('ul', '');
    for (const [name, field] of Object.entries(object.properties ?? {})) {
      list.append(fieldView(name, field, object.required?.includes(name) ?? false, depth));
    }
    box.append(list);
  }
  return box;
}

/**
 * @param {string} name
 * @param {Schema} field
 * @param {boolean} required
 * @param {number} depth
 */
function fieldView(name, field, required, depth) {
  const item = make('li', '');
  const head = [make('code', '', name), make('span', 'type', typeWords(field))];
  if (required) head.push(make('span', 'required', 'required'));
  if (field.default !== undefined) {
    head.push(make('span', 'type', `default ${JSON.stringify(field.default)}`));
  }
  const within = objectsOf(field).length > 0 && depth < MAX_DEPTH;
  if (within) {
    // Made when it is opened: a document may be far larger than what is read of it.
    const details = make('details', '');
    const summary = make('summary', '');
    summary.append(...head);
    details.append(summary);
    details.addEventListener(
      'toggle',
      () => {
        const inner = fieldsView(field, depth + 1);
        if (inner) details.append(inner);
      },
      { once: true },
    );
    item.append(details);
  } else item.append(...head);
  if (field.description) item.append(make('p', 'muted', field.description));
  return item;
}
