import {
  choiceOf,
  EMPTY,
  type Expression,
  regular,
  repeat,
  sequence,
  text,
} from '../language/expression.js';
import { insideString } from '../language/json-text.js';
import { parseRegex } from '../language/regex.js';
import { nameMeet } from './accepts.js';
import { bracketed, inQuotes, STRING } from './json-rules.js';
import { schemaError } from './keywords.js';
import { child, isObject } from './located.js';
import { nameExcept } from './member-names.js';
import { propertyMeet } from './member-schemas.js';
import type { RuleContext } from './rule-context.js';
import type { Shape } from './shape.js';

/** Maximum number of declared members: each is a state of the grammar. */
const MAX_MEMBERS = 1000;

/**
 * Maximum length of a declared name that other names are distinguished from: each character is a
 * state of the grammar.
 */
const MAX_NAME = 200;

/** Names and values of undeclared members. */
interface OtherMembers {
  readonly member: Expression;
}

/**
 * Objects of the shape: declared members in their order, then others.
 *
 * @returns null when no object is valid
 */
export function objectOf(shape: Shape, context: RuleContext): Expression | null {
  const { minProperties, maxProperties, required } = shape;
  if (maxProperties !== null && maxProperties < minProperties) return null;
  const names = declaredNames(shape);
  if (names.length > MAX_MEMBERS) {
    throw schemaError(`${shape.pointer}/properties`, `more than ${MAX_MEMBERS} are not supported`);
  }
  const others = otherMembers(shape, names, context);
  if (others && minProperties > Math.max(1, required.length)) {
    throw schemaError(
      `${shape.pointer}/minProperties`,
      `at most ${Math.max(1, required.length)} is supported here: a name may be written twice, and count once`,
    );
  }
  const members = new MemberList(shape, names, others, context).from(0, 0);
  return bracketed('{', members, required.length === 0 && minProperties === 0, context.style);
}

function declaredNames(shape: Shape): string[] {
  const names = new Set<string>();
  for (const { schema } of shape.parts) {
    if (isObject(schema['properties']))
      for (const name of Object.keys(schema['properties'])) names.add(name);
  }
  for (const name of shape.required) names.add(name);
  return [...names];
}

/**
 * The members of an object in order. A state is the next declared member and the number of members
 * before it (capped), so the grammar grows with the product of both and not with the number of
 * subsets.
 */
class MemberList {
  readonly #shape: Shape;
  readonly #names: readonly string[];
  readonly #others: OtherMembers | null;
  readonly #context: RuleContext;
  /** Counts above it are equivalent. */
  readonly #cap: number;
  readonly #values: readonly (Expression | null)[];
  readonly #states = new Map<string, Expression | null>();

  constructor(
    shape: Shape,
    names: readonly string[],
    others: OtherMembers | null,
    context: RuleContext,
  ) {
    this.#shape = shape;
    this.#names = names;
    this.#others = others;
    this.#context = context;
    const { minProperties, maxProperties } = shape;
    this.#cap = Math.min(names.length + 1, maxProperties ?? Infinity, Infinity);
    if (maxProperties === null) this.#cap = Math.min(names.length + 1, Math.max(1, minProperties));
    this.#values = names.map((name) =>
      context.valueOf(propertyMeet(shape, name, context.document)),
    );
  }

  /**
   * Members from `index` on, after `count` earlier ones; the object has at least one member. Null
   * when it cannot be completed.
   */
  from(index: number, count: number): Expression | null {
    const key = `${index} ${count}`;
    const known = this.#states.get(key);
    if (known !== undefined) return known;
    const found = index === this.#names.length ? this.#tail(count) : this.#member(index, count);
    const isLong = found !== null && found.kind !== 'text' && found.kind !== 'rule';
    const state = isLong ? this.#context.define(found) : found;
    this.#states.set(key, state);
    return state;
  }

  #member(index: number, count: number): Expression | null {
    const name = this.#names[index];
    const value = this.#values[index];
    const ways: Expression[] = [];
    const max = this.#shape.maxProperties;
    if (value && (max === null || count < max)) {
      const rest = this.from(index + 1, Math.min(count + 1, this.#cap));
      const key = text(JSON.stringify(name));
      const { comma, colon } = this.#context.style;
      if (rest) ways.push(sequence(count > 0 ? comma : EMPTY, key, colon, value, rest));
    }
    if (!this.#shape.required.includes(name)) {
      const rest = this.from(index + 1, count);
      if (rest) ways.push(rest);
    }
    return ways.length === 0 ? null : choiceOf(ways);
  }

  #tail(count: number): Expression | null {
    const { minProperties, maxProperties } = this.#shape;
    const missing = Math.max(0, minProperties - count);
    const room = maxProperties === null ? null : maxProperties - count;
    if (!this.#others || room === 0) return missing === 0 && count > 0 ? EMPTY : null;
    const next = sequence(this.#context.style.comma, this.#others.member);
    if (count > 0) return repeat(next, missing, room);
    const more = repeat(next, Math.max(0, missing - 1), room === null ? null : room - 1);
    return sequence(this.#others.member, more);
  }
}

function otherMembers(
  shape: Shape,
  names: readonly string[],
  context: RuleContext,
): OtherMembers | null {
  const patterned = shape.parts.find(({ schema }) => schema['patternProperties'] !== undefined);
  const named = nameMeet(shape);
  const special = patterned ? 'patternProperties' : named.length > 0 ? 'propertyNames' : null;
  if (special && names.length > 0) {
    throw schemaError(`${shape.pointer}/${special}`, 'not supported beside properties or required');
  }
  if (patterned) return membersByPattern(shape, context);
  const rules = shape.parts.flatMap(({ located, schema }) =>
    schema['additionalProperties'] === undefined ? [] : [child(located, 'additionalProperties')],
  );
  // Objects are closed unless the schema says otherwise. An object schema without any name allows
  // any object.
  if (rules.length === 0 && names.length > 0) return null;
  const value = context.valueOf(rules);
  if (!value) return null;
  if (named.length > 0) {
    const name = context.valueOf([{ schema: { type: 'string' }, pointer: 'a name' }, ...named]);
    return name && { member: context.define(sequence(name, context.style.colon, value)) };
  }
  if (names.some((name) => name.length > MAX_NAME)) {
    throw schemaError(
      `${shape.pointer}/additionalProperties`,
      `not supported beside a name of more than ${MAX_NAME} characters`,
    );
  }
  const key = names.length === 0 ? STRING : context.define(nameExcept(names));
  return { member: context.define(sequence(key, context.style.colon, value)) };
}

function membersByPattern(shape: Shape, context: RuleContext): OtherMembers | null {
  const at = `${shape.pointer}/patternProperties`;
  const parts = shape.parts.filter(({ schema }) => schema['patternProperties'] !== undefined);
  const [{ located, schema }] = parts;
  const patterns = schema['patternProperties'];
  if (!isObject(patterns)) throw schemaError(at, 'must be an object');
  const keys = Object.keys(patterns);
  const isOpen = shape.parts.some(
    (part) =>
      part.schema['additionalProperties'] !== undefined &&
      part.schema['additionalProperties'] !== false,
  );
  if (parts.length > 1 || keys.length !== 1 || isOpen || nameMeet(shape).length > 0) {
    throw schemaError(
      at,
      'only one pattern is supported, without additionalProperties or propertyNames',
    );
  }
  const name = insideString(parseRegex(keys[0], 'anywhere', `the JSON schema at ${at}`));
  const value = context.valueOf([child(located, 'patternProperties', keys[0])]);
  return (
    value && {
      member: context.define(sequence(regular(inQuotes(name)), context.style.colon, value)),
    }
  );
}
