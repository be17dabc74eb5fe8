import { Environment, lookUp, type Node, Template, valueOf } from './jinja-library.js';
import { PythonInterpreter } from './python-jinja.js';
import type { RuntimeValue as Value } from './python-text.js';
import { isKnownRole } from './roles.js';
import type { PromptText } from './spans.js';
import { BoundedValues, type TemplateBounds } from './template-bounds.js';
import { problemWithLine } from './template-problem.js';
import { TextOrigins } from './text-origins.js';

/** A parsed template. */
export type Program = Node;

/** Fields of statements that contain statements. */
const BODIES = ['body', 'alternate', 'defaultBlock'] as const;

const EXPRESSIONS = new Set([
  'Identifier',
  'MemberExpression',
  'CallExpression',
  'FilterExpression',
  'BinaryExpression',
  'UnaryExpression',
  'TestExpression',
  'SelectExpression',
  'Ternary',
  'IntegerLiteral',
  'FloatLiteral',
  'ArrayLiteral',
  'TupleLiteral',
  'ObjectLiteral',
]);

/** @throws Error when the source is no template; says in which line, where that can be found */
export function parseTemplate(source: string): Program {
  const { parsed } = parse(source);
  markBody(parsed);
  return parsed;
}

function parse(source: string): { readonly parsed: Program } {
  try {
    return new Template(source);
  } catch (cause) {
    const whole = cause instanceof Error ? cause.message : String(cause);
    throw new SyntaxError(problemWithLine(source, whole), { cause });
  }
}

/** Marks output expressions (`{{ ... }}`), to distinguish them from values inside expressions. */
function markBody(statement: Node): void {
  for (const name of BODIES) {
    const body: unknown = Reflect.get(statement, name);
    if (!Array.isArray(body)) continue;
    body.forEach((child: Node, i) => {
      if (EXPRESSIONS.has(child.type)) body[i] = { type: 'Output', expression: child };
      else markBody(child);
    });
  }
}

/**
 * @param variables `messages` are turns
 * @param fromClient names of the variables whose texts come from the client. A turn's role does not
 *   count if it is one of the few words that all clients use
 * @param bounds of its values; null for none
 * @throws Error whatever the template, or a function among the variables, throws
 */
export function runTemplate(
  program: Program,
  variables: Readonly<Record<string, unknown>>,
  fromClient: readonly string[],
  bounds: TemplateBounds | null = null,
): PromptText {
  const environment = new Environment();
  const origins = new TextOrigins();
  for (const [name, value] of Object.entries(variables)) {
    const known = environment.setVariable(name, valueOf(value));
    if (fromClient.includes(name)) origins.markClient(known);
  }
  const { value: turns } = lookUp('messages', environment);
  for (const { value: turn } of turns as Value[]) {
    const role = (turn as Map<string, Value>).get('role');
    if (role && isKnownRole(String(role.value))) origins.trust(role);
  }
  const bounded = bounds && new BoundedValues(bounds);
  const written = new PythonInterpreter(environment, origins, bounded).run(program);
  const text = String(written.value);
  return { text, client: origins.spansOf(written, text) };
}
