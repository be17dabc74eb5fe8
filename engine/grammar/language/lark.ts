import { clip } from '../../clip.js';
import { OctavoError } from '../../errors.js';
import {
  charactersOf,
  choiceOf,
  EMPTY,
  type Expression,
  type Grammar,
  repeat,
  rule,
  sequence,
  sequenceOf,
  text,
} from './expression.js';
import { COMMON_TERMINALS } from './lark-common.js';
import { anyCase, regexOf, unescaped } from './lark-literals.js';
import { checkNames, IGNORED, type NameUse } from './lark-names.js';
import { isTerminalName, type Token, tokensOf } from './lark-tokens.js';
import { parseRegex } from './regex.js';
import { regularize } from './regularize.js';

const MAX_REPEAT = 100_000;
const MAX_DEPTH = 200;

/**
 * Reads a grammar of Lark (rules in lower case, terminals in upper case, `%import common.X`,
 * `%ignore`), whose start is the rule `start`. Its language is that of the rules, however a lexer
 * would cut the text. What is ignored may stand behind each lexeme, but not before the first one:
 * llguidance has it so.
 *
 * @param param the request field, for messages
 * @throws OctavoError `invalid_request` with the line that cannot be taken
 */
export function parseLark(source: string, param: string): Grammar {
  return new LarkParser(source, param).parse();
}

class LarkParser {
  readonly #param: string;
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;
  /** Whether a terminal is being read. */
  #isTerminal = false;
  readonly #rules = new Map<string, Expression>();
  readonly #ignored: Expression[] = [];
  readonly #uses: NameUse[] = [];
  #defining = '';

  constructor(source: string, param: string) {
    this.#param = param;
    this.#tokens = tokensOf(source, this.#refuse);
  }

  parse(): Grammar {
    while (this.#peek()) {
      if (this.#take('line')) continue;
      const directive = this.#take('directive');
      if (directive) this.#directive(directive);
      else this.#definition();
    }
    checkNames(new Set(this.#rules.keys()), this.#uses, this.#refuse);
    if (this.#ignored.length === 0) this.#rules.set(IGNORED, EMPTY);
    else this.#rules.set(IGNORED, regularize(repeat(choiceOf(this.#ignored), 0, null)));
    return { root: rule('start'), rules: this.#rules };
  }

  #definition(): void {
    while (this.#sign('?') || this.#sign('!'));
    const name = this.#expect('name', 'the name of a rule');
    this.#isTerminal = isTerminalName(name.value);
    this.#defining = name.value;
    if (this.#sign('.')) {
      const what = this.#isTerminal ? 'a terminal' : 'a rule';
      throw this.#error(`the priority of ${what} is not supported`, name.line);
    }
    if (this.#sign('{')) throw this.#error('templates are not supported', name.line);
    if (!this.#sign(':')) throw this.#error(`expected : behind ${name.value}`, name.line);
    this.#define(name, this.#expansions());
    if (this.#peek() && !this.#take('line')) throw this.#unexpected();
  }

  #define(name: Token, body: Expression): void {
    if (this.#rules.has(name.value)) {
      throw this.#error(`${name.value} is there twice`, name.line);
    }
    this.#rules.set(name.value, regularize(body));
  }

  #directive({ value, line }: Token): void {
    if (value === '%import') this.#import(line);
    else if (value === '%ignore') {
      this.#isTerminal = true;
      this.#defining = IGNORED;
      this.#ignored.push(this.#expansions());
    } else throw this.#error(`${value} is not supported`, line);
    if (this.#peek() && !this.#take('line')) throw this.#unexpected();
  }

  #import(line: number): void {
    const library = this.#expect('name', 'common');
    if (library.value !== 'common') {
      throw this.#error(`only common can be imported, not ${clip(library.value)}`, line);
    }
    const names: Token[] = [];
    let alias: Token | null = null;
    if (this.#sign('(')) {
      do names.push(this.#expect('name', 'a terminal'));
      while (this.#sign(','));
      if (!this.#sign(')')) throw this.#unexpected();
    } else {
      if (!this.#sign('.')) throw this.#unexpected();
      names.push(this.#expect('name', 'a terminal'));
      if (this.#sign('->')) alias = this.#expect('name', 'a name');
    }
    for (const name of names) {
      const pattern = Object.hasOwn(COMMON_TERMINALS, name.value)
        ? COMMON_TERMINALS[name.value]
        : null;
      if (pattern === null) {
        throw this.#error(`common has no ${name.value}`, name.line);
      }
      this.#define(alias ?? name, parseRegex(pattern, 'whole', this.#param));
    }
  }

  #expansions(): Expression {
    if (++this.#depth > MAX_DEPTH) throw this.#error(`more than ${MAX_DEPTH} nested groups`);
    const items = [this.#expansion()];
    while (this.#alternative()) items.push(this.#expansion());
    this.#depth -= 1;
    return choiceOf(items);
  }

  /** `|`, also at the beginning of a later line. */
  #alternative(): boolean {
    let next = this.#at;
    while (this.#tokens[next]?.kind === 'line') next += 1;
    if (this.#tokens[next]?.kind !== 'sign' || this.#tokens[next]?.value !== '|') return false;
    this.#at = next + 1;
    return true;
  }

  #expansion(): Expression {
    const items: Expression[] = [];
    for (let item = this.#item(); item; item = this.#item()) items.push(this.#counted(item));
    // Names of alternatives shape a tree, which is not made.
    if (this.#sign('->')) this.#expect('name', 'a name');
    return sequenceOf(items);
  }

  #item(): Expression | null {
    if (this.#depth > 1) while (this.#take('line'));
    const opening = this.#peek();
    if (this.#sign('(')) return this.#group(')');
    if (this.#sign('[')) return repeat(this.#group(']'), 0, 1);
    if (opening?.kind === 'text') return this.#lexeme(this.#textOrRange());
    const pattern = this.#take('regex');
    if (pattern) return this.#lexeme(regexOf(pattern, this.#param, this.#refuse));
    const name = this.#take('name');
    if (!name) return null;
    this.#uses.push({ name: name.value, token: name, by: this.#defining });
    return isTerminalName(name.value) ? this.#lexeme(rule(name.value)) : rule(name.value);
  }

  #group(end: string): Expression {
    const inner = this.#expansions();
    while (this.#take('line'));
    if (!this.#sign(end)) throw this.#unexpected();
    return inner;
  }

  /** Inside of a terminal, nothing is ignored. */
  #lexeme(item: Expression): Expression {
    return this.#isTerminal ? item : sequence(item, rule(IGNORED));
  }

  #counted(item: Expression): Expression {
    if (this.#sign('?')) return repeat(item, 0, 1);
    if (this.#sign('*')) return repeat(item, 0, null);
    if (this.#sign('+')) return repeat(item, 1, null);
    if (!this.#sign('~')) return item;
    const first = this.#expect('number', 'a number');
    const min = Number(first.value);
    const max = this.#sign('..') ? Number(this.#expect('number', 'a number').value) : min;
    if (max < min || max > MAX_REPEAT) {
      throw this.#error(`~${min}..${max}: must rise, up to ${MAX_REPEAT}`, first.line);
    }
    return repeat(item, min, max);
  }

  #textOrRange(): Expression {
    const token = this.#expect('text', 'a text');
    const value = unescaped(token, this.#refuse);
    const ignoresCase = token.value.endsWith('i');
    if (!this.#sign('..')) return ignoresCase ? anyCase(value, token, this.#refuse) : text(value);
    const last = unescaped(this.#expect('text', 'a text'), this.#refuse);
    const [from, to] = [pointsOf(value), pointsOf(last)];
    if (from.length !== 1 || to.length !== 1 || ignoresCase || from[0] > to[0]) {
      throw this.#error('a range has one character at each end, and rises', token.line);
    }
    return charactersOf([[from[0], to[0]]]);
  }

  #peek(): Token | undefined {
    return this.#tokens[this.#at];
  }

  #take(kind: Token['kind']): Token | null {
    const next = this.#peek();
    if (next?.kind !== kind) return null;
    this.#at += 1;
    return next;
  }

  #sign(value: string): boolean {
    const next = this.#peek();
    if (next?.kind !== 'sign' || next.value !== value) return false;
    this.#at += 1;
    return true;
  }

  #expect(kind: Token['kind'], what: string): Token {
    const token = this.#take(kind);
    if (token) return token;
    throw this.#error(`expected ${what}`);
  }

  #unexpected(): OctavoError {
    const next = this.#peek();
    const what = next === undefined || next.kind === 'line' ? 'an end' : clip(next.value);
    return this.#error(`unexpected: ${what}`);
  }

  readonly #refuse = (problem: string, line: number): OctavoError => this.#error(problem, line);

  #error(
    problem: string,
    line = this.#peek()?.line ?? this.#tokens.at(-1)?.line ?? 1,
  ): OctavoError {
    const message = `${this.#param}: ${problem} (line ${line})`;
    return new OctavoError('invalid_request', message, { param: this.#param });
  }
}

const pointsOf = (value: string): number[] =>
  Array.from(value, (character) => character.codePointAt(0) as number);
