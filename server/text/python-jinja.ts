import * as library from '@huggingface/jinja';
import { itemsOf, loopVariable, unpack } from './jinja-loop.js';
import { binary } from './python-operators.js';
import { isStripMethod, strip } from './python-strip.js';
import { pythonText, type RuntimeValue as Value } from './python-text.js';

/** The part of the library that is used; its own declarations do not resolve under `nodenext`. */
interface Library {
  readonly Template: new (source: string) => { readonly parsed: Program };
  readonly Environment: new (parent?: Environment) => Environment;
  readonly Interpreter: new (
    environment: Environment,
  ) => {
    run(program: Program): Value;
    evaluate(node: Node | undefined, environment: Environment): Value;
  };
}

interface Environment {
  /** Declares a variable; plain values become the library's. */
  set(name: string, value: unknown): Value;
  setVariable(name: string, value: Value): Value;
  lookupVariable(name: string): Value;
}

const { Template, Environment, Interpreter } = library as unknown as Library;

/** Nodes of the library's tree, as far as they are looked into. */
interface Node {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** A template that was parsed. */
export type Program = Node;

/** Parts of statements that hold statements. */
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

/** @throws Error when the source is no template */
export function parseTemplate(source: string): Program {
  const { parsed } = new Template(source);
  markBody(parsed);
  return parsed;
}

/** @throws Error what the template, or one of the functions among the variables, throws */
export function runTemplate(
  program: Program,
  variables: Readonly<Record<string, unknown>>,
): string {
  const environment = new Environment();
  for (const [name, value] of Object.entries(variables)) environment.set(name, value);
  return String(new PythonInterpreter(environment).run(program).value);
}

/** Marks what a template writes out (`{{ ... }}`), so that it is told from values inside of expressions. */
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
 * The library's interpreter, where it does as Python does: templates are written for Python, and what differs would be other words in
 * the prompt, without an error. Numbers without a fraction are integers, even if JSON had them as `1.0`.
 */
class PythonInterpreter extends Interpreter {
  override evaluate(node: Node | undefined, environment: Environment): Value {
    return (node && this.#evaluateOurs(node, environment)) ?? super.evaluate(node, environment);
  }

  /** Null: the library does it right. */
  #evaluateOurs(node: Node, environment: Environment): Value | null {
    const child = (name: string): Value => this.evaluate(node[name] as Node, environment);
    switch (node.type) {
      case 'Resolved':
        return node['value'] as Value;
      case 'Output':
        return runtime(pythonText(child('expression')));
      case 'MemberExpression':
        return this.#member(node, environment);
      case 'CallExpression':
        return this.#strip(node, environment);
      case 'FilterExpression': {
        const { type, value: name } = node['filter'] as Node;
        if (type !== 'Identifier' || (name !== 'string' && name !== 'trim')) return null;
        const operand = child('operand');
        if (name === 'trim' && operand.type === 'UndefinedValue') return runtime('');
        const text = pythonText(operand);
        return runtime(name === 'trim' ? strip(text, 'strip', null) : text);
      }
      case 'TestExpression': {
        if ((node['test'] as Node)['value'] !== 'iterable') return null;
        return runtime(ITERABLE.has(child('operand').type) !== node['negate']);
      }
      case 'For':
        return runtime(this.#loop(node, environment));
      case 'BinaryExpression': {
        const operator = String((node['operator'] as Node)['value']);
        if (operator === 'and' || operator === 'or') return null;
        const [left, right] = [child('left'), child('right')];
        const value = binary(operator, left, right);
        if (value !== undefined) return runtime(value);
        const resolved = { ...node, left: resolve(left), right: resolve(right) };
        return super.evaluate(resolved, environment);
      }
      default:
        return null;
    }
  }

  /** Each turn has variables of its own, and what it has written before a break or a continue stays. */
  #loop(node: Node, environment: Environment): string {
    const { type, lhs, test } = node['iterable'] as Node;
    const isFiltered = type === 'SelectExpression';
    const iterable = this.evaluate((isFiltered ? lhs : node['iterable']) as Node, environment);
    const names = namesOf(node['loopvar'] as Node);
    const scopeOf = (item: Value): Environment => {
      const scope = new Environment(environment);
      for (const [name, value] of unpack(names, item)) scope.setVariable(name, value);
      return scope;
    };
    const items = itemsOf(iterable, runtime).filter(
      (item) => !isFiltered || this.evaluate(test as Node, scopeOf(item)).__bool__().value,
    );
    const written: string[] = [];
    for (const [index, item] of items.entries()) {
      const scope = scopeOf(item);
      scope.setVariable('loop', loopVariable(items, index, runtime));
      if (this.#write(node['body'] as Node[], scope, written) === 'Break') break;
    }
    if (items.length === 0) this.#write(node['defaultBlock'] as Node[], environment, written);
    return written.join('');
  }

  /** @returns `Break` or `Continue` where the statements were left by one */
  #write(statements: readonly Node[], environment: Environment, written: string[]): string | null {
    for (const statement of statements) {
      if (statement.type === 'Break' || statement.type === 'Continue') return statement.type;
      if (statement.type === 'If') {
        const isTrue = this.evaluate(statement['test'] as Node, environment).__bool__().value;
        const branch = statement[isTrue ? 'body' : 'alternate'] as Node[];
        const left = this.#write(branch, environment, written);
        if (left !== null) return left;
        continue;
      }
      const value = this.evaluate(statement, environment);
      if (value.type === 'StringValue') written.push(String(value.value));
    }
    return null;
  }

  /** `text.strip(...)` and its kin; null for other calls. */
  #strip({ callee, args }: Node, environment: Environment): Value | null {
    const { type, computed, object, property } = callee as Node;
    if (type !== 'MemberExpression' || computed === true) return null;
    const method = (property as Node)['value'];
    if (!isStripMethod(method) || (args as Node[]).length > 1) return null;
    const text = this.evaluate(object as Node, environment);
    const [argument] = (args as Node[]).map((arg) => this.evaluate(arg, environment));
    if (text.type !== 'StringValue') throw new TypeError(`it calls ${method} on what is no text`);
    const characters = argument?.type === 'StringValue' ? String(argument.value) : null;
    return runtime(strip(String(text.value), method, characters));
  }

  /** What no key can be is not there. */
  #member(node: Node, environment: Environment): Value | null {
    const property = node['property'] as Node;
    if (node['computed'] !== true || property.type === 'SliceExpression') return null;
    const key = this.evaluate(property, environment);
    const isKey = key.type === 'StringValue' || key.type === 'IntegerValue';
    return isKey ? null : environment.lookupVariable('');
  }
}

/** Something undefined is as an empty list. */
const ITERABLE = new Set([
  'ArrayValue',
  'TupleValue',
  'ObjectValue',
  'StringValue',
  'UndefinedValue',
]);

/** The variables of a loop: one, or a tuple of them. */
const namesOf = ({ type, value }: Node): string[] =>
  type === 'TupleLiteral' ? (value as Node[]).flatMap(namesOf) : [String(value)];

const resolve = (value: Value): Node => ({ type: 'Resolved', value });

const runtime = (value: unknown): Value => new Environment().set('value', value);
