import {
  type Environment,
  Interpreter,
  integerValue,
  isTrue,
  lookUp,
  type Node,
  nullValue,
  textValue,
  truthValue,
  undefinedValue,
} from './jinja-library.js';
import { isIterable, itemsOf, loopNames, loopScope, loopVariable } from './jinja-loop.js';
import { binary } from './python-operators.js';
import { endOfSplit, isStripMethod, type StripMethod, strippedSpan } from './python-strip.js';
import { pythonText, type RuntimeValue as Value } from './python-text.js';
import { SpanWriter } from './spans.js';
import type { BoundedValues } from './template-bounds.js';
import type { TextOrigins } from './text-origins.js';

/**
 * The library's interpreter with Python's behavior: templates are written for Python, and any
 * difference would silently change the prompt. Numbers without a fraction are integers, even if the
 * JSON had `1.0`.
 */
export class PythonInterpreter extends Interpreter {
  readonly #origins: TextOrigins;
  /** Null where values may have any size. */
  readonly #bounded: BoundedValues | null;
  /** The method that is being called; only a bounded template cannot keep methods as values. */
  #called: Node | null = null;

  constructor(environment: Environment, origins: TextOrigins, bounded: BoundedValues | null) {
    super(environment);
    this.#origins = origins;
    this.#bounded = bounded;
  }

  override evaluate(node: Node | undefined, environment: Environment): Value {
    const before = this.#origins.begin();
    const ours = node ? this.#evaluateOurs(node, environment) : null;
    const value = this.#origins.end(ours ?? super.evaluate(node, environment), before);
    if (this.#bounded === null) return value;
    this.#bounded.assertSmall(value);
    // Its arguments could not be looked at when it is called.
    if (value.type === 'FunctionValue' && node?.type === 'MemberExpression') {
      if (node !== this.#called) throw new TypeError('it takes a method for a value');
      this.#called = null;
    }
    return value;
  }

  override evaluateBlock(statements: readonly Node[], environment: Environment): Value {
    const written = new SpanWriter();
    const left = this.#write(statements, environment, written);
    if (left !== null) throw new TypeError('it leaves a loop where there is none');
    return this.#origins.written(written);
  }

  /** Evaluates nodes where the library differs from Python; null for all others. */
  #evaluateOurs(node: Node, environment: Environment): Value | null {
    const child = (name: string): Value => this.evaluate(node[name] as Node, environment);
    switch (node.type) {
      case 'StringLiteral':
        return textValue(node['value'] as string);
      case 'IntegerLiteral':
        return integerValue(node['value'] as number);
      case 'Resolved':
        return node['value'] as Value;
      case 'Identifier':
        return lookUp(node['value'] as string, environment);
      case 'Output':
        return this.#textOf(child('expression'));
      case 'MemberExpression':
        return this.#member(node, environment);
      case 'CallExpression':
        return this.#method(node, environment);
      case 'FilterExpression':
        return this.#filter(node, environment);
      case 'FilterStatement': {
        if (this.#bounded === null) return null;
        const operand = resolve(this.evaluateBlock(node['body'] as Node[], environment));
        const filter = node['filter'];
        return this.evaluate({ type: 'FilterExpression', operand, filter }, environment);
      }
      case 'TestExpression':
        return this.#test(node, child('operand'), environment);
      case 'Ternary':
        return child(isTrue(child('condition')) ? 'trueExpr' : 'falseExpr');
      case 'UnaryExpression':
        if ((node['operator'] as Node)['value'] !== 'not') return null;
        return truthValue(!isTrue(child('argument')));
      case 'Set': {
        const { type, value: name } = node['assignee'] as Node;
        if (type !== 'Identifier' || !node['value']) return null;
        environment.setVariable(name as string, child('value'));
        return nullValue();
      }
      case 'For':
        return this.#loop(node, environment);
      case 'BinaryExpression': {
        const operator = String((node['operator'] as Node)['value']);
        const left = child('left');
        if (operator === 'and') return isTrue(left) ? child('right') : left;
        if (operator === 'or') return isTrue(left) ? left : child('right');
        const right = child('right');
        const areTexts = left.type === 'StringValue' && right.type === 'StringValue';
        if (operator === '~' || (operator === '+' && areTexts)) {
          return this.#origins.joined([this.#textOf(left), this.#textOf(right)], null);
        }
        const value = binary(operator, left, right);
        if (value !== undefined) return truthValue(value);
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
    const names = loopNames(node['loopvar'] as Node);
    const scopeOf = (item: Value): Environment => loopScope(names, item, environment);
    const all = itemsOf(iterable);
    // Keys and characters are new strings.
    for (const item of all) this.#origins.settle(item, this.#origins.holdsClient(iterable));
    const items = isFiltered
      ? all.filter((item) => isTrue(this.evaluate(test as Node, scopeOf(item))))
      : all;
    const written = new SpanWriter();
    for (const [index, item] of items.entries()) {
      const scope = scopeOf(item);
      scope.setVariable('loop', loopVariable(items, index));
      if (this.#write(node['body'] as Node[], scope, written) === 'Break') break;
    }
    if (items.length === 0) this.#write(node['defaultBlock'] as Node[], environment, written);
    return this.#origins.written(written);
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
        const test = this.evaluate(statement['test'] as Node, environment);
        const branch = statement[isTrue(test) ? 'body' : 'alternate'] as Node[];
        const left = this.#write(branch, environment, written);
        if (left !== null) return left;
        continue;
      }
      const value = this.evaluate(statement, environment);
      if (value.type === 'NullValue') continue;
      this.#bounded?.assertWritable(value);
      const text = pythonText(value);
      written.push(text, this.#origins.spansOf(value, text));
      this.#bounded?.assertText(written.length);
    }
    return null;
  }

  #test(node: Node, operand: Value, environment: Environment): Value | null {
    const name = (node['test'] as Node)['value'] as string;
    const test = name === 'iterable' ? isIterable : environment.tests.get(name);
    return test ? truthValue(test(operand) !== node['negate']) : null;
  }

  /**
   * String methods that differ in Python, or that may join strings of client and template; null for
   * other calls.
   */
  #method(node: Node, environment: Environment): Value | null {
    const { callee, args } = node;
    const { type, computed, object, property } = callee as Node;
    if (type !== 'MemberExpression') return null;
    if (this.#bounded !== null) return this.#boundedMethod(node, environment);
    const method = (property as Node)['value'];
    if (computed === true || !isStripMethod(method)) return null;
    return this.#strip(method, object as Node, args as Node[], environment);
  }

  #strip(
    method: StripMethod,
    object: Node,
    args: readonly Node[],
    environment: Environment,
  ): Value | null {
    if (args.length > 1) return null;
    const text = this.evaluate(object, environment);
    const [argument] = args.map((arg) => this.evaluate(arg, environment));
    if (text.type !== 'StringValue') throw new TypeError(`it calls ${method} on what is no text`);
    const characters = argument?.type === 'StringValue' ? String(argument.value) : null;
    return this.#origins.piece(text, strippedSpan(String(text.value), method, characters));
  }

  /** A call of a method, whose arguments are known before it is made. */
  #boundedMethod(node: Node, environment: Environment): Value {
    const callee = node['callee'] as Node;
    const property = callee['property'] as Node;
    const isComputed = callee['computed'] === true;
    const key = isComputed ? resolve(this.evaluate(property, environment)) : property;
    const operand = this.evaluate(callee['object'] as Node, environment);
    const { nodes, values } = this.#arguments(node['args'] as Node[], environment);
    const name = isComputed ? (key['value'] as Value).value : key['value'];
    this.#bounded?.assertResult(String(name), operand, values);
    const object = resolve(operand);
    const stripped = isStripMethod(name) ? this.#strip(name, object, nodes, environment) : null;
    if (stripped !== null) return stripped;
    const called = { ...callee, object, property: key };
    this.#called = called;
    return super.evaluate({ ...node, callee: called, args: nodes }, environment);
  }

  /** Arguments of a call, evaluated; `values` has those in lists and those with names, too. */
  #arguments(
    args: readonly Node[],
    environment: Environment,
  ): { readonly nodes: Node[]; readonly values: Value[] } {
    const values: Value[] = [];
    const nodes = args.map((arg) => {
      const isNamed = arg.type === 'KeywordArgumentExpression';
      const isSpread = arg.type === 'SpreadExpression';
      const inner = (isNamed ? arg['value'] : isSpread ? arg['argument'] : arg) as Node;
      const value = this.evaluate(inner, environment);
      values.push(...(isSpread && Array.isArray(value.value) ? (value.value as Value[]) : [value]));
      const known = resolve(value);
      if (isNamed) return { ...arg, value: known };
      return isSpread ? { ...arg, argument: known } : known;
    });
    return { nodes, values };
  }

  #textOf(value: Value): Value {
    this.#bounded?.assertWritable(value);
    return this.#origins.textOf(value);
  }

  /** A filter whose operand and arguments are known before it is applied. */
  #boundedFilter(node: Node, environment: Environment): Node {
    if (this.#bounded === null) return node;
    const filter = node['filter'] as Node;
    const isCall = filter.type === 'CallExpression';
    const operand = this.evaluate(node['operand'] as Node, environment);
    const args = isCall ? (filter['args'] as Node[]) : [];
    const { nodes, values } = this.#arguments(args, environment);
    const name = (isCall ? (filter['callee'] as Node) : filter)['value'];
    this.#bounded.assertResult(String(name), operand, values);
    const known = isCall ? { ...filter, args: nodes } : filter;
    return { ...node, operand: resolve(operand), filter: known };
  }

  #filter(asked: Node, environment: Environment): Value | null {
    const node = this.#boundedFilter(asked, environment);
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
      if (areTexts) return this.#origins.joined(texts, separator);
      const resolved = isCall ? { ...filter, args: all.slice(texts.length).map(resolve) } : filter;
      return super.evaluate({ ...node, operand: resolve(list), filter: resolved }, environment);
    }
    if (isCall || (name !== 'string' && name !== 'trim')) {
      return node === asked ? null : super.evaluate(node, environment);
    }
    const value = operand();
    if (name === 'trim' && value.type === 'UndefinedValue') return textValue('');
    const text = this.#textOf(value);
    if (name === 'string') return text;
    return this.#origins.piece(text, strippedSpan(String(text.value), 'strip', null));
  }

  /** A value that cannot be a key is undefined. */
  #member(node: Node, environment: Environment): Value | null {
    const property = node['property'] as Node;
    if (node['computed'] !== true) return this.#attribute(node, property, environment);
    if (property.type === 'SliceExpression') return null;
    const key = this.evaluate(property, environment);
    if (key.type !== 'StringValue' && key.type !== 'IntegerValue') return undefinedValue();
    const object = node['object'] as Node;
    const isEnd = key.value === 0 || key.value === -1;
    return isEnd ? this.#endOfSplit(object, key.value === 0, environment) : null;
  }

  /**
   * `text.split(separator)[0]` and `[-1]`, without the other pieces: templates look for the end of
   * thinking so, and a text may consist of separators. Null for any other node.
   */
  #endOfSplit({ callee, args }: Node, isFirst: boolean, environment: Environment): Value | null {
    const { type, computed, object, property } = (callee ?? {}) as Partial<Node>;
    const isMethod = type === 'MemberExpression' && computed !== true;
    if (!isMethod || (property as Node)['value'] !== 'split' || (args as Node[]).length !== 1) {
      return null;
    }
    const text = this.evaluate(object as Node, environment);
    const separator = this.evaluate((args as Node[])[0], environment);
    const mark = separator.type === 'StringValue' ? (separator.value as string) : '';
    if (text.type !== 'StringValue' || mark === '') return null;
    return this.#origins.piece(text, endOfSplit(String(text.value), mark, isFirst));
  }

  /** `message.role`; the library makes an object's methods to find that it has no such field. */
  #attribute(node: Node, property: Node, environment: Environment): Value {
    const object = this.evaluate(node['object'] as Node, environment);
    if (object.type === 'ObjectValue' && property.type === 'Identifier') {
      const name = property['value'] as string;
      const field = (object.value as Map<string, Value>).get(name);
      if (field !== undefined) return field;
      if (!METHODS.has(name)) return undefinedValue();
    }
    return super.evaluate({ ...node, object: resolve(object) }, environment);
  }
}

/** Methods of objects. */
const METHODS = new Set(['get', 'items', 'keys', 'values', 'dictsort']);

const resolve = (value: Value): Node => ({ type: 'Resolved', value });
