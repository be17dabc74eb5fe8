import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { OctavoError } from '../../engine/errors.js';
import { clip } from '../text/clip.js';

interface Problem {
  readonly keyword: string;
  readonly instancePath: string;
  readonly message: string;
  readonly params: object;
}

/**
 * Compiles a schema into a check for Fastify.
 *
 * @returns a function that returns the value, or an OctavoError `invalid_request` that names the field
 */
export function compileValidator(
  schema: TSchema,
): (value: unknown) => { value: unknown } | { error: OctavoError } {
  const compiled = Compile(schema);
  return (value) => {
    if (compiled.Check(value)) return { value };
    return { error: describe(compiled.Errors(value)) };
  };
}

/**
 * Of the problems, the deepest says most: in a union of forms it belongs to the form that fits best. Alternatives at one place
 * are joined: "must be string or array".
 */
function describe(problems: readonly Problem[]): OctavoError {
  const telling = problems.filter(({ keyword }) => keyword !== 'anyOf');
  const depth = (problem: Problem): number => problem.instancePath.split('/').length;
  const deepest = Math.max(...telling.map(depth));
  const first = telling.find((problem) => depth(problem) === deepest);
  if (!first) return new OctavoError('invalid_request', 'the body is not valid');
  const here = telling.filter(({ instancePath }) => instancePath === first.instancePath);
  const param = paramName(first.instancePath);
  const missing = here.find(({ keyword }) => keyword === 'required');
  if (missing) {
    const { requiredProperties } = missing.params as { requiredProperties: string[] };
    const field = [param, requiredProperties[0]].filter((part) => part !== '').join('.');
    return new OctavoError('invalid_request', `missing required field ${field}`, { param: field });
  }
  // A value of the right type breaks a rule of that type; the types it might have had do not matter then.
  const ofType = here.filter(({ keyword }) => keyword === 'type');
  const rule = here.find(({ keyword }) => keyword !== 'type');
  const message = rule ? ruleMessage(rule) : `must be ${typeNames(ofType)}`;
  if (param === '') return new OctavoError('invalid_request', `the body ${message}`);
  return new OctavoError('invalid_request', `${clip(param)} ${message}`, { param });
}

function ruleMessage(problem: Problem): string {
  const params = problem.params as { allowedValue?: unknown; allowedValues?: unknown[] };
  if (problem.keyword === 'const') return `must be ${JSON.stringify(params.allowedValue)}`;
  if (problem.keyword === 'enum') return `must be one of ${params.allowedValues?.join(', ')}`;
  return problem.message;
}

function typeNames(problems: readonly Problem[]): string {
  const names = problems.map(({ params }) => (params as { type: string }).type);
  const unique = [...new Set(names)];
  const shown = unique.length > 1 ? unique.filter((name) => name !== 'null') : unique;
  return shown.join(' or ');
}

/** `/messages/0/content` becomes `messages[0].content`. */
function paramName(instancePath: string): string {
  return instancePath
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce((path, part) => {
      if (/^\d+$/.test(part)) return `${path}[${part}]`;
      return path === '' ? part : `${path}.${part}`;
    }, '');
}
