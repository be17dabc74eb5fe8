import { OctavoError } from '../errors.js';
import { MAX_NESTING, tooDeepPath } from '../nesting.js';
import type { GrammarSpec, StructurePart } from '../protocol/request.js';
import { parseEbnf } from './language/ebnf.js';
import {
  choice,
  choiceOf,
  EMPTY,
  type Expression,
  type Grammar,
  hasLoneSurrogate,
  regular,
  repeat,
  rule,
  sequence,
  sequenceOf,
  text,
} from './language/expression.js';
import { insideStrings } from './language/json-text.js';
import { parseLark } from './language/lark.js';
import { Occurrences } from './language/occurrences.js';
import { printGrammar } from './language/print.js';
import { findEndlessRule } from './language/productive.js';
import { parseRegex } from './language/regex.js';
import { SchemaCompiler } from './schema/compile-schema.js';
import { COMPACT, JSON_RULES, SPACED } from './schema/json-rules.js';
import { schemaError } from './schema/keywords.js';
import { assertShort } from './sizes.js';

/**
 * Converts a client's specification to the grammar library's notation; the result is well formed.
 * Pure. Its time grows with the client's input, so it belongs in a grammar thread, which has a
 * budget.
 *
 * @throws OctavoError `invalid_request`: names what cannot be enforced, and where
 */
export const grammarText = (spec: GrammarSpec): string => printGrammar(toGrammar(spec));

/** The same, before it is printed. */
export function toGrammar(spec: GrammarSpec): Grammar {
  assertShort(spec);
  if (spec.kind === 'ebnf') {
    const grammar = parseEbnf(spec.source, 'grammar');
    const endless = findEndlessRule(grammar);
    if (endless === null) return grammar;
    throw new OctavoError('invalid_request', `grammar: the rule ${endless} has no end`, {
      param: 'grammar',
    });
  }
  const rules = new Map<string, Expression>();
  const root =
    spec.kind === 'choice' ? oneOf(spec.choices) : new PartWriter(rules).write(partsOf(spec));
  const grammar = { root, rules: withJsonRules(root, rules) };
  if (findEndlessRule(grammar) !== null) {
    throw schemaError('', 'a part of it can have no finite value: it must contain itself');
  }
  return grammar;
}

function partsOf(
  spec: Exclude<GrammarSpec, { kind: 'ebnf' | 'choice' }>,
): readonly StructurePart[] {
  return spec.kind === 'structure' ? spec.parts : [spec];
}

function oneOf(choices: readonly string[]): Expression {
  if (choices.length === 0) {
    throw new OctavoError('invalid_request', 'choice: must hold at least one text', {
      param: 'choice',
    });
  }
  return choiceOf(choices.map((each) => literalOf(each, 'choice')));
}

function literalOf(value: string, param: string): Expression {
  if (hasLoneSurrogate(value)) {
    throw new OctavoError('invalid_request', `${param}: half of a surrogate pair is no text`, {
      param,
    });
  }
  return text(value);
}

const styleOf = ({ compact }: { readonly compact?: boolean }) => (compact ? COMPACT : SPACED);

class PartWriter {
  readonly #rules: Map<string, Expression>;
  #schemas = 0;
  /** Dispatches and grammars of their own. */
  #named = 0;

  constructor(rules: Map<string, Expression>) {
    this.#rules = rules;
  }

  write(parts: readonly StructurePart[]): Expression {
    return sequenceOf(parts.map((part) => this.#writePart(part)));
  }

  #writePart(part: StructurePart): Expression {
    switch (part.kind) {
      case 'literal':
        return literalOf(part.text, 'literal');
      case 'text-without':
        return regular(new Occurrences(part.excludes).none());
      case 'dispatch':
        return this.#writeDispatch(part);
      case 'ebnf':
        return this.#writeGrammar(parseEbnf(part.source, 'grammar'));
      case 'lark': {
        const grammar = parseLark(part.source, 'grammar');
        return this.#writeGrammar(part.inJson ? insideStrings(grammar) : grammar);
      }
      case 'regex':
        return regular(parseRegex(part.source, 'whole', 'regex'));
      case 'json-object':
        return styleOf(part).object;
      case 'json-schema': {
        const prefix = `s${this.#schemas++}_`;
        const compiler = new SchemaCompiler(this.#rules, prefix, styleOf(part));
        return compiler.compile(parseSchema(part.source));
      }
      case 'alternatives':
        return choiceOf(part.of.map((parts) => this.write(parts)));
      case 'repeat':
        return this.#writeRepeat(part);
    }
  }

  #writeDispatch({
    rules,
    excludes,
    loop,
    isForced,
  }: Extract<StructurePart, { kind: 'dispatch' }>): Expression {
    const name = `d${this.#named++}_`;
    const found = new Occurrences([...rules.map(({ trigger }) => trigger), ...excludes]);
    const bodies = rules.map(({ parts }) => this.#asRule(this.write(parts)));
    const ways = (before: (index: number) => Expression): Expression[] =>
      bodies.map((body, index) => sequence(before(index), body, loop ? rule(name) : EMPTY));
    const free = ways((index) => regular(found.upTo(index)));
    if (loop || !isForced) this.#rules.set(name, choiceOf([regular(found.none()), ...free]));
    if (!isForced) return rule(name);
    return choiceOf(ways((index) => literalOf(rules[index].trigger, 'triggers')));
  }

  /** So that it is written once, wherever it stands. */
  #asRule(expression: Expression): Expression {
    const name = `p${this.#named++}_`;
    this.#rules.set(name, expression);
    return rule(name);
  }

  /** Its rules have names of their own, so that several grammars do not mix. */
  #writeGrammar(grammar: Grammar): Expression {
    const prefix = `g${this.#named++}_`;
    for (const [name, body] of grammar.rules) {
      this.#rules.set(prefix + name, withPrefix(body, prefix));
    }
    return withPrefix(grammar.root, prefix);
  }

  #writeRepeat({
    parts,
    separator,
    min,
    max,
  }: Extract<StructurePart, { kind: 'repeat' }>): Expression {
    if (max === 0) return EMPTY;
    // It stands there twice; with others in it, and others in those, very often.
    const once = this.write(parts);
    const item = parts.some(repeats) ? this.#asRule(once) : once;
    const next = sequence(literalOf(separator, 'separator'), item);
    const more = repeat(next, Math.max(0, min - 1), max === null ? null : max - 1);
    const some = sequence(item, more);
    return min === 0 ? choice(some, EMPTY) : some;
  }
}

/** Whether a part is written more than once, or one in it is. */
function repeats(part: StructurePart): boolean {
  if (part.kind === 'alternatives') return part.of.some((parts) => parts.some(repeats));
  return part.kind === 'repeat' || part.kind === 'dispatch';
}

/** The same expression, about rules of other names. */
function withPrefix(expression: Expression, prefix: string): Expression {
  switch (expression.kind) {
    case 'sequence':
    case 'choice':
      return { ...expression, items: expression.items.map((item) => withPrefix(item, prefix)) };
    case 'repeat':
      return { ...expression, item: withPrefix(expression.item, prefix) };
    case 'rule':
      return rule(prefix + expression.name);
    case 'text':
    case 'class':
    case 'machine':
    case 'regular':
      return expression;
  }
}

function parseSchema(source: string): unknown {
  let schema: unknown;
  try {
    schema = JSON.parse(source);
  } catch (cause) {
    throw new OctavoError('invalid_request', 'the JSON schema is not valid JSON', {
      param: 'schema',
      cause,
    });
  }
  if (!tooDeepPath(schema)) return schema;
  throw schemaError('', `it is nested too deeply: at most ${MAX_NESTING} levels are allowed`);
}

/** Adds the rules of plain JSON that are used. */
function withJsonRules(
  root: Expression,
  rules: ReadonlyMap<string, Expression>,
): Map<string, Expression> {
  const all = new Map(rules);
  const visit = (expression: Expression): void => {
    switch (expression.kind) {
      case 'sequence':
      case 'choice':
        expression.items.forEach(visit);
        break;
      case 'repeat':
      case 'regular':
        visit(expression.item);
        break;
      case 'rule': {
        const body = JSON_RULES.get(expression.name);
        if (!body || all.has(expression.name)) break;
        all.set(expression.name, body);
        visit(body);
        break;
      }
      case 'text':
      case 'class':
      case 'machine':
        break;
    }
  };
  for (const expression of [root, ...rules.values()]) visit(expression);
  return all;
}
