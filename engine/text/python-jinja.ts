import * as library from '@huggingface/jinja';
import { itemsOf, loopVariable, unpack } from './jinja-loop.js';
import { binary } from './python-operators.js';
import { isStripMethod, strippedSpan } from './python-strip.js';
import { pythonText, type RuntimeValue as Value } from './python-text.js';
import { isKnownRole } from './roles.js';
import { type PromptText, type Span, SpanWriter, spansWithin } from './spans.js';
import { TextOrigins } from './text-origins.js';

/** The part of the library that is used. Its own declarations do not resolve under `nodenext`. */
interface Library {
  readonly Template: new (source: string) => { readonly parsed: Program };
  readonly Environment: new (parent?: Environment) => Environment;
  readonly Interpreter: new (
    environment: Environment,
  ) => {
    run(program: Program): Value;
    evaluate(node: Node | undefined, environment: Environment): Value;
    /** Output of the statements of a body; called for every body. */
    evaluateBlock(statements: readonly Node[], environment: Environment): Value;
  };
}

interface Environment {
  /** Declares a variable; plain values are converted to the library's. */
  set(name: string, value: unknown): Value;
  setVariable(name: string, value: Value): Value;
  lookupVariable(name: string): Value;
}

const { Template, Environment, Interpreter } = library as unknown as Library;

/** Nodes of the library's syntax tree, with the fields that are read here. */
interface Node {
  readonly type: string;
  readonly [field: string]: unknown;
}

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

/** @throws Error when the source is no template */
export function parseTemplate(source: string): Program {
  const { parsed } = new Template(source);
  markBody(parsed);
  return parsed;
}

/**
 * @param variables `messages` are turns
 * @param fromClient names of the variables whose texts come from the client. A turn's role does not
 *   count if it is one of the few words that all clients use
 * @throws Error whatever the template, or a function among the variables, throws
 */
export function runTemplate(
  program: Program,
  variables: Readonly<Record<string, unknown>>,
  fromClient: readonly string[],
): PromptText {
  const environment = new Environment();
  const origins = new TextOrigins();
  for (const [name, value] of Object.entries(variables)) {
    const known = environment.set(name, value);
    if (fromClient.includes(name)) origins.markClient(known);
  }
  const { value: turns } = environment.lookupVariable('messages');
  for (const { value: turn } of turns as Value[]) {
    const role = (turn as Map<string, Value>).get('role');
    if (role && isKnownRole(String(role.value))) origins.trust(role);
  }
  const written = new PythonInterpreter(environment, origins).run(program);
  const text = String(written.value);
  return { text, client: origins.spansOf(written, text) };
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
 * The library's interpreter with Python's behavior: templates are written for Python, and any
 * difference would silently change the prompt. Numbers without a fraction are integers, even if the
 * JSON had `1.0`.
 */
class PythonInterpreter extends Interpreter {
  readonly #origins: TextOrigins;

  constructor(environment: Environment, origins: TextOrigins) {
    super(environment);
    this.#origins = origins;
  }

  override evaluate(node: Node | undefined, environment: Environment): Value {
    return this.#origins.during(
      () => (node && this.#evaluateOurs(node, environment)) ?? super.evaluate(node, environment),
    );
  }

  override evaluateBlock(statements: readonly Node[], environment: Environment): Value {
    const written = new SpanWriter();
    const left = this.#write(statements, environment, written);
    if (left !== null) throw new TypeError('it leaves a loop where there is none');
    return this.#written(written);
  }

  /** Evaluates nodes where the library differs from Python; null for all others. */
  #evaluateOurs(node: Node, environment: Environment): Value | null {
    const child = (name: string): Value => this.evaluate(node[name] as Node, environment);
    switch (node.type) {
      case 'Resolved':
        return node['value'] as Value;
      case 'Output':
        return this.#textOf(child('expression'));
      case 'MemberExpression':
        return this.#member(node, environment);
      case 'CallExpression':
        return this.#method(node, environment);
      case 'FilterExpression':
        return this.#filter(node, environment);
      case 'TestExpression': {
        if ((node['test'] as Node)['value'] !== 'iterable') return null;
        return runtime(ITERABLE.has(child('operand').type) !== node['negate']);
      }
      case 'For':
        return this.#loop(node, environment);
      case 'BinaryExpression': {
        const operator = String((node['operator'] as Node)['value']);
        if (operator === 'and' || operator === 'or') return null;
        const [left, right] = [child('left'), child('right')];
        const areTexts = left.type === 'StringValue' && right.type === 'StringValue';
        if (operator === '~' || (operator === '+' && areTexts)) {
          return this.#joined([this.#textOf(left), this.#textOf(right)], null);
        }
        const value = binary(operator, left, right);
        if (value !== undefined) return runtime(value);
        const resolved = { ...node, left: resolve(left), right: resolve(right) };
        return super.evaluate(resolved, environment);
      }
      default:
        return null;
    }
  }

  /**
   * Each iteration has its own variables, and keeps what it has written before a break or continue.
   */
  #loop(node: Node, environment: Environment): Value {
    const { type, lhs, test } = node['iterable'] as Node;
    const isFiltered = type === 'SelectExpression';
    const iterable = this.evaluate((isFiltered ? lhs : node['iterable']) as Node, environment);
    const names = namesOf(node['loopvar'] as Node);
    const scopeOf = (item: Value): Environment => {
      const scope = new Environment(environment);
      for (const [name, value] of unpack(names, item)) scope.setVariable(name, value);
      return scope;
    };
    const all = itemsOf(iterable, runtime);
    // Keys and characters are new strings.
    for (const item of all) this.#origins.settle(item, this.#origins.holdsClient(iterable));
    const items = all.filter(
      (item) => !isFiltered || this.evaluate(test as Node, scopeOf(item)).__bool__().value,
    );
    const written = new SpanWriter();
    for (const [index, item] of items.entries()) {
      const scope = scopeOf(item);
      scope.setVariable('loop', loopVariable(items, index, runtime));
      if (this.#write(node['body'] as Node[], scope, written) === 'Break') break;
    }
    if (items.length === 0) this.#write(node['defaultBlock'] as Node[], environment, written);
    return this.#written(written);
  }

  /** @returns `Break` or `Continue` when one of them ended the statements */
  #write(
    statements: readonly Node[],
    environment: Environment,
    written: SpanWriter,
  ): string | null {
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
      if (value.type === 'NullValue') continue;
      const text = pythonText(value);
      written.push(text, this.#origins.spansOf(value, text));
    }
    return null;
  }

  #written({ text, spans }: SpanWriter): Value {
    return this.#origins.set(runtime(text), spans);
  }

  /** A string unchanged; any other value as Python's `str`. */
  #textOf(value: Value): Value {
    if (value.type === 'StringValue') return value;
    const text = pythonText(value);
    return this.#origins.set(runtime(text), this.#origins.spansOf(value, text));
  }

  /** @param separator null for none */
  #joined(texts: readonly Value[], separator: Value | null): Value {
    const written = new SpanWriter();
    for (const [index, value] of texts.entries()) {
      const pieces = index > 0 && separator !== null ? [separator, value] : [value];
      for (const piece of pieces) {
        const text = String(piece.value);
        written.push(text, this.#origins.spansOf(piece, text));
      }
    }
    return this.#written(written);
  }

  #piece(value: Value, { start, end }: Span): Value {
    const text = String(value.value);
    const spans = spansWithin(this.#origins.spansOf(value, text), start, end);
    return this.#origins.set(runtime(text.slice(start, end)), spans);
  }

  /**
   * String methods that differ in Python, or that may join strings of client and template; null for
   * other calls.
   */
  #method({ callee, args }: Node, environment: Environment): Value | null {
    const { type, computed, object, property } = callee as Node;
    if (type !== 'MemberExpression' || computed === true) return null;
    const method = (property as Node)['value'];
    if (!isStripMethod(method) || (args as Node[]).length > 1) return null;
    const text = this.evaluate(object as Node, environment);
    const [argument] = (args as Node[]).map((arg) => this.evaluate(arg, environment));
    if (text.type !== 'StringValue') throw new TypeError(`it calls ${method} on what is no text`);
    const characters = argument?.type === 'StringValue' ? String(argument.value) : null;
    return this.#piece(text, strippedSpan(String(text.value), method, characters));
  }

  #filter(node: Node, environment: Environment): Value | null {
    const filter = node['filter'] as Node;
    const isCall = filter.type === 'CallExpression';
    const name = (isCall ? (filter['callee'] as Node) : filter)['value'];
    const args = isCall ? (filter['args'] as Node[]) : [];
    const operand = (): Value => this.evaluate(node['operand'] as Node, environment);
    if (name === 'join' && args.length <= 1 && args[0]?.type !== 'KeywordArgumentExpression') {
      const list = operand();
      const separator = args.map((arg) => this.evaluate(arg, environment)).at(0) ?? null;
      const texts = Array.isArray(list.value) ? (list.value as Value[]) : [];
      const all = separator === null ? texts : [...texts, separator];
      const areTexts = Array.isArray(list.value) && all.every(({ type }) => type === 'StringValue');
      if (areTexts) return this.#joined(texts, separator);
      const resolved = isCall ? { ...filter, args: all.slice(texts.length).map(resolve) } : filter;
      return super.evaluate({ ...node, operand: resolve(list), filter: resolved }, environment);
    }
    if (isCall || (name !== 'string' && name !== 'trim')) return null;
    const value = operand();
    if (name === 'trim' && value.type === 'UndefinedValue') return runtime('');
    const text = this.#textOf(value);
    if (name === 'string') return text;
    return this.#piece(text, strippedSpan(String(text.value), 'strip', null));
  }

  /** A value that cannot be a key is undefined. */
  #member(node: Node, environment: Environment): Value | null {
    const property = node['property'] as Node;
    if (node['computed'] !== true || property.type === 'SliceExpression') return null;
    const key = this.evaluate(property, environment);
    const isKey = key.type === 'StringValue' || key.type === 'IntegerValue';
    return isKey ? null : environment.lookupVariable('');
  }
}

/** Types that loops accept; an undefined value counts as an empty list. */
const ITERABLE = new Set([
  'ArrayValue',
  'TupleValue',
  'ObjectValue',
  'StringValue',
  'UndefinedValue',
]);

/** Names of a loop's variables: one, or a tuple. */
const namesOf = ({ type, value }: Node): string[] =>
  type === 'TupleLiteral' ? (value as Node[]).flatMap(namesOf) : [String(value)];

const resolve = (value: Value): Node => ({ type: 'Resolved', value });

const runtime = (value: unknown): Value => new Environment().set('value', value);
