import { choice, choiceOf, type Expression, regular, rule, text } from '../language/expression.js';
import { acceptsList } from './accepts.js';
import { alternatives } from './alternatives.js';
import { arrayOf } from './arrays.js';
import { checkExclusive } from './exclusive.js';
import { isTooLong, type JsonStyle, literal, MAX_LITERAL_ITEMS } from './json-rules.js';
import { KINDS, type Kind } from './keyword-reader.js';
import { schemaError } from './keywords.js';
import { type Meet, SchemaDocument } from './located.js';
import { multiplesOf } from './multiples.js';
import { inexactBound, integersBetween, numbersBetween } from './numbers.js';
import { objectOf } from './objects.js';
import type { RuleContext } from './rule-context.js';
import { type Shape, shapeOf, writtenKinds } from './shape.js';
import { stringOf } from './strings.js';

const MAX_DEPTH = 100;
const MAX_RULES = 20_000;

/**
 * Converts JSON schemas to rules. Each rule stands for a set of places in a document whose schemas
 * all hold for one value (`allOf` and `$ref` add places, `anyOf` branches), so recursion ends when
 * a set occurs again.
 *
 * The output is always valid, but not every valid value can be output: members come in the order of
 * their declaration, white space and numbers are bounded, and there are no undeclared members. A
 * schema that cannot be written in this way is refused; the error names the keyword and its JSON
 * pointer.
 */
export class SchemaCompiler {
  readonly #rules: Map<string, Expression>;
  readonly #prefix: string;
  readonly #style: JsonStyle;

  /**
   * @param rules receives the rules
   * @param prefix prefix of their names, so that one grammar can hold several schemas
   */
  constructor(rules: Map<string, Expression>, prefix: string, style: JsonStyle) {
    this.#rules = rules;
    this.#prefix = prefix;
    this.#style = style;
  }

  /** @throws OctavoError `invalid_request`: names the keyword and its place */
  compile(schema: unknown): Expression {
    const document = new SchemaDocument(schema);
    const compiler = new DocumentCompiler(document, this.#rules, this.#prefix, this.#style);
    const root = compiler.valueOf([document.root]);
    if (!root) throw schemaError('', 'no value can be valid');
    return root;
  }
}

class DocumentCompiler implements RuleContext {
  readonly document: SchemaDocument;
  readonly style: JsonStyle;
  readonly #rules: Map<string, Expression>;
  readonly #prefix: string;
  readonly #bySet = new Map<string, Expression | null>();
  /** Rules that are referred to while they are still being written. */
  readonly #awaited = new Set<string>();
  readonly #checked = new Set<string>();
  #depth = 0;

  constructor(
    document: SchemaDocument,
    rules: Map<string, Expression>,
    prefix: string,
    style: JsonStyle,
  ) {
    this.document = document;
    this.style = style;
    this.#rules = rules;
    this.#prefix = prefix;
  }

  /** @returns null when no value is valid */
  valueOf(meet: Meet): Expression | null {
    const key = meet
      .map(({ pointer }) => pointer)
      .toSorted()
      .join('\n');
    if (meet.length === 0) return this.style.value;
    const known = this.#bySet.get(key);
    if (known !== undefined) {
      if (known?.kind === 'rule') this.#awaited.add(known.name);
      return known;
    }
    const name = `${this.#prefix}${this.#bySet.size}`;
    this.#bySet.set(key, rule(name));
    if (++this.#depth > MAX_DEPTH) {
      throw schemaError(meet[0].pointer, `more than ${MAX_DEPTH} levels are not supported`);
    }
    const value = this.#write(meet);
    this.#depth -= 1;
    if (!value) {
      if (this.#awaited.has(name))
        throw schemaError(meet[0].pointer, 'no finite value can be valid');
      this.#bySet.set(key, null);
      return null;
    }
    this.#add(name, value);
    return rule(name);
  }

  define(expression: Expression): Expression {
    const name = `${this.#prefix}m${this.#rules.size}`;
    this.#add(name, expression);
    return rule(name);
  }

  #add(name: string, expression: Expression): void {
    this.#rules.set(name, expression);
    if (this.#rules.size > MAX_RULES)
      throw schemaError('', `too large: more than ${MAX_RULES} rules`);
  }

  alternativesOf(meet: Meet): Meet[] {
    return alternatives(meet, this.document, (branches, pointer) => {
      if (this.#checked.has(pointer)) return;
      this.#checked.add(pointer);
      checkExclusive(branches, pointer, this.document);
    });
  }

  #write(meet: Meet): Expression | null {
    const ways = this.alternativesOf(meet)
      .map((list) => this.#writeList(list))
      .filter((way) => way !== null);
    return ways.length === 0 ? null : choiceOf(ways);
  }

  #writeList(list: Meet): Expression | null {
    const shape = shapeOf(list);
    if (!shape) return null;
    if (shape.values) {
      const valid = shape.values.filter((value) => acceptsList(list, value, this.document));
      if (valid.some(isTooLong)) {
        const what = `a list or an object of more than ${MAX_LITERAL_ITEMS}`;
        throw schemaError(shape.pointer, `${what} in const or enum is not supported`);
      }
      return valid.length === 0 ? null : choiceOf(valid.map((value) => literal(value, this.style)));
    }
    const kinds = writtenKinds(shape);
    if (kinds.length === KINDS.length && shape.mentioned.size === 0) return this.style.value;
    const ways = kinds
      // A number that may have a fraction may also have none, so one rule serves both.
      .filter((kind) => kind !== 'integer' || !kinds.includes('fraction'))
      .map((kind) => this.#writeKind(kind, shape))
      .filter((way) => way !== null);
    return ways.length === 0 ? null : choiceOf(ways);
  }

  #writeKind(kind: Kind, shape: Shape): Expression | null {
    switch (kind) {
      case 'null':
        return text('null');
      case 'boolean':
        return choice(text('true'), text('false'));
      case 'integer':
      case 'fraction':
        return this.#writeNumber(kind, shape);
      case 'string':
        return stringOf(shape);
      case 'array':
        return arrayOf(shape, this);
      case 'object':
        return objectOf(shape, this);
    }
  }

  #writeNumber(kind: 'integer' | 'fraction', shape: Shape): Expression | null {
    const isInteger = kind === 'integer';
    const { multipleOf } = shape;
    const places = multipleOf && (isInteger ? 0 : multipleOf.scale);
    const inexact = inexactBound(shape, isInteger, places);
    if (inexact) throw schemaError(inexact.pointer, 'a bound with so many digits is not supported');
    if (multipleOf) return multiplesOf(multipleOf, shape, isInteger, this);
    const numbers = isInteger ? integersBetween(shape) : numbersBetween(shape);
    return numbers && regular(numbers);
  }
}
