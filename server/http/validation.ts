import { IsArray, IsObject, IsUnion, type TSchema, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { Settings } from 'typebox/system';
import { Check, Errors } from 'typebox/value';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import { MAX_NESTING, tooDeepPath } from '../../engine/nesting.js';

// Enough for a union of many forms: of the usual eight, the form that is meant may be missing.
Settings.Set({ maxErrors: 64 });

interface Problem {
  readonly keyword: string;
  /** Which part of the schema is broken. */
  readonly schemaPath: string;
  readonly instancePath: string;
  readonly message: string;
  readonly params: object;
}

/**
 * Compiles a schema into a check for Fastify.
 *
 * @returns a function that returns the value, or an OctavoError `invalid_request` that names the
 *   field
 */
export function compileValidator(
  schema: TSchema,
): (value: unknown) => { value: unknown } | { error: OctavoError } {
  const compiled = Compile(schema);
  return (value) => {
    const deep = tooDeepPath(value);
    if (deep) return { error: tooDeep(fieldPath(schema, deep)) };
    if (compiled.Check(value)) return { value };
    const excerpt = truncateForErrors(value);
    return { error: describe(Errors(narrowLists(schema, excerpt), excerpt), schema) };
  };
}

function tooDeep(path: readonly string[]): OctavoError {
  const param = paramName(path);
  const message = `${clip(param)} is nested too deeply: at most ${MAX_NESTING} levels are allowed`;
  return new OctavoError('invalid_request', message, { param });
}

/**
 * The part of a path that the schema knows: the field in which a value of the client's own begins.
 */
function fieldPath(schema: TSchema, path: readonly string[]): readonly string[] {
  let forms = formsOf(schema);
  const length = path.findIndex((key) => {
    forms = forms.flatMap((form) => innerForms(form, key));
    return forms.length === 0;
  });
  return path.slice(0, Math.max(1, length));
}

const formsOf = (schema: TSchema): TSchema[] =>
  IsUnion(schema) ? schema.anyOf.flatMap(formsOf) : [schema];

function innerForms(form: TSchema, key: string): TSchema[] {
  if (IsArray(form)) return formsOf(form.items);
  if (!IsObject(form) || !Object.hasOwn(form.properties, key)) return [];
  return formsOf(form.properties[key]);
}

/**
 * Of the problems, the deepest says most: in a union of forms it belongs to the form that fits
 * best. Alternatives at one place are joined: "must be string or array".
 */
function describe(problems: readonly Problem[], schema: TSchema): OctavoError {
  if (problems.length === 0) {
    return new OctavoError(
      'invalid_request',
      'the body is not valid, behind its first 10000 items',
    );
  }
  const telling = withoutAlienForms(problems.filter(({ keyword }) => keyword !== 'anyOf'));
  const depth = (problem: Problem): number => problem.instancePath.split('/').length;
  const deepest = Math.max(...telling.map(depth));
  const first = telling.find((problem) => depth(problem) === deepest);
  if (!first) return new OctavoError('invalid_request', 'the body is not valid');
  const here = telling.filter(({ instancePath }) => instancePath === first.instancePath);
  const excluding = here.find(({ keyword }) => keyword === 'not');
  if (excluding) return excludingFields(schema);
  const param = paramName(keysOf(first.instancePath));
  const missing = here.filter(({ keyword }) => keyword === 'required');
  if (missing.length > 0) {
    const fields = missing.map(({ params }) => {
      const { requiredProperties } = params as { requiredProperties: string[] };
      return [param, requiredProperties[0]].filter((part) => part !== '').join('.');
    });
    // Of a body of several forms, each field is another way to be one.
    const said = missing.every(({ schemaPath }) => /^#\/anyOf\/\d+$/.test(schemaPath))
      ? fields.join(' or ')
      : fields[0];
    return new OctavoError('invalid_request', `missing required field ${said}`, {
      param: fields[0],
    });
  }
  // A value of the right type breaks a rule of that type; the types it might have had do not matter
  // then.
  const typeErrors = here.filter(({ keyword }) => keyword === 'type');
  const rule = here.find(({ keyword }) => keyword !== 'type');
  const message = rule ? ruleMessage(rule, here) : `must be ${typeNames(typeErrors)}`;
  if (param === '') return new OctavoError('invalid_request', `the body ${message}`);
  return new OctavoError('invalid_request', `${clip(param)} ${message}`, { param });
}

/** A body with `not` says by it which fields cannot be there together. */
function excludingFields(schema: TSchema): OctavoError {
  const { required } = Reflect.get(schema, 'not') as { required: string[] };
  return new OctavoError('invalid_request', `give either ${required.join(' or ')}, not both`, {
    param: required[0],
  });
}

/**
 * Of several forms, told apart by a constant field such as `type`, only those with the value's own
 * constant are of interest, if there are any.
 */
function withoutAlienForms(problems: readonly Problem[]): readonly Problem[] {
  const aliens = problems.flatMap(({ keyword, schemaPath, instancePath }) => {
    // A form for all other values says by a pattern which ones it is not for.
    const form = keyword === 'const' || keyword === 'pattern' ? FORM.exec(schemaPath) : null;
    return form ? [{ form: form[0], union: form[1], at: parentOf(instancePath) }] : [];
  });
  const isOneOf = (forms: typeof aliens, problem: Problem): boolean =>
    forms.some(
      ({ form, at }) => isWithin(problem.schemaPath, form) && isWithin(problem.instancePath, at),
    );
  const isFitting = (problem: Problem, at: string): boolean =>
    isWithin(problem.instancePath, at) &&
    !isOneOf(aliens, problem) &&
    // A form of another type is no match either.
    (problem.instancePath !== at || problem.keyword === 'required');
  // A union's own forms: of one whose forms are all alien, the constants say what is allowed.
  const needless = aliens.filter(({ union, at }) =>
    problems.some((problem) => isWithin(problem.schemaPath, union) && isFitting(problem, at)),
  );
  return problems.filter((problem) => !isOneOf(needless, problem));
}

/** The form of a union in which a constant, or one of several, is asked of a field. */
const FORM = /^(.*\/anyOf)\/\d+(?=\/properties\/[^/]+(?:\/anyOf\/\d+)?$)/;

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('/'));

const isWithin = (path: string, place: string): boolean =>
  path === place || path.startsWith(`${place}/`);

/** @param here all problems at the same place */
function ruleMessage(problem: Problem, here: readonly Problem[]): string {
  const params = problem.params as { allowedValue?: unknown; allowedValues?: unknown[] };
  if (problem.keyword === 'const') {
    const constants = here.filter(({ keyword }) => keyword === 'const');
    const values = constants.map(
      (other) => (other.params as { allowedValue: unknown }).allowedValue,
    );
    if (new Set(values).size > 1) return `must be one of ${[...new Set(values)].join(', ')}`;
    return `must be ${JSON.stringify(params.allowedValue)}`;
  }
  if (problem.keyword === 'enum') return `must be one of ${params.allowedValues?.join(', ')}`;
  if (problem.keyword === 'minLength') return 'must not be empty';
  return problem.message;
}

function typeNames(problems: readonly Problem[]): string {
  const names = problems.map(({ params }) => (params as { type: string }).type);
  const unique = [...new Set(names)];
  const shown = unique.length > 1 ? unique.filter((name) => name !== 'null') : unique;
  return shown.join(' or ');
}

const keysOf = (instancePath: string): string[] =>
  instancePath
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));

/** `messages`, `0`, `content` become `messages[0].content`. */
function paramName(path: readonly string[]): string {
  return path.reduce((name, part) => {
    if (/^\d+$/.test(part)) return `${name}[${part}]`;
    return name === '' ? part : `${name}.${part}`;
  }, '');
}

/**
 * Narrows a schema: fields that may be lists of several kinds keep only the kinds that the value's
 * first item fits. Otherwise, the error for a list of texts that is too long would say that it is
 * no list of numbers.
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

/** More items than any list of a request may have, so that one that is too long still is. */
const MAX_ITEMS = 10_001;
const MAX_MEMBERS = 2000;
/** Of all lists and objects together. */
const MAX_VALUES = 20_000;

/**
 * Truncates a refused value, keeping enough to describe the error: the validator takes some 10 us
 * for each part of a value, and bodies may have millions. Lists and objects keep their beginning,
 * and at least one item.
 */
export function truncateForErrors(value: unknown): unknown {
  let left = MAX_VALUES;
  const room = (count: number, most: number): number => {
    const kept = Math.max(1, Math.min(count, most, left));
    left -= kept;
    return kept;
  };
  const cut = (part: unknown): unknown => {
    if (typeof part !== 'object' || part === null) return part;
    if (Array.isArray(part)) return part.slice(0, room(part.length, MAX_ITEMS)).map(cut);
    const keys = Object.keys(part);
    const kept = keys.slice(0, room(keys.length, MAX_MEMBERS));
    return Object.fromEntries(
      kept.map((key) => [key, cut((part as Record<string, unknown>)[key])]),
    );
  };
  return cut(value);
}
