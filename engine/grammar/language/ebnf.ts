import { OctavoError } from '../../errors.js';
import {
  charactersOf,
  choiceOf,
  complement,
  EMPTY,
  type Expression,
  type Grammar,
  hasLoneSurrogate,
  type Range,
  repeat,
  rule,
  sequenceOf,
  text,
} from './expression.js';
import { regularize } from './regularize.js';

const MAX_REPEAT = 100_000;
const MAX_DEPTH = 200;

const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  r: '\r',
  t: '\t',
  b: '\b',
  f: '\f',
  v: '\v',
  '0': '\0',
};

/**
 * Reads a grammar in GBNF notation (llama.cpp, xgrammar): `name ::= ...`, "text", [a-z], [^a-z],
 * (...), |, *, +, ?, {m,n}, `#` for comments; the rule `root` is the start.
 *
 * @param param the request field, for messages
 * @throws OctavoError `invalid_request` with line and column
 */
export function parseEbnf(source: string, param: string): Grammar {
  return new EbnfParser(source, param).parse();
}

class EbnfParser {
  readonly #source: string;
  readonly #param: string;
  #at = 0;
  #depth = 0;
  /** Rules that are referred to, with the position of the first reference. */
  readonly #uses = new Map<string, number>();

  constructor(source: string, param: string) {
    this.#source = source;
    this.#param = param;
  }

  parse(): Grammar {
    const bodies = new Map<string, Expression>();
    for (this.#skip(); this.#at < this.#source.length; this.#skip()) {
      const start = this.#at;
      const name = this.#name();
      if (name === null) throw this.#error('expected the name of a rule');
      this.#skip();
      if (!this.#take('::=')) throw this.#error(`expected ::= after ${name}`);
      if (bodies.has(name)) throw this.#error(`the rule ${name} is there twice`, start);
      bodies.set(name, regularize(this.#choice()));
    }
    if (!bodies.has('root')) throw this.#error('there is no rule root');
    for (const [name, place] of this.#uses) {
      if (!bodies.has(name)) throw this.#error(`the rule ${name} is not defined`, place);
    }
    return { root: rule('root'), rules: bodies };
  }

  #choice(): Expression {
    if (++this.#depth > MAX_DEPTH) throw this.#error(`more than ${MAX_DEPTH} nested groups`);
    const items = [this.#sequence()];
    while (this.#take('|')) items.push(this.#sequence());
    this.#depth -= 1;
    return choiceOf(items);
  }

  #sequence(): Expression {
    const items: Expression[] = [];
    for (;;) {
      this.#skip();
      const item = this.#item();
      if (!item) break;
      const [min, max] = this.#count();
      items.push(repeat(item, min, max));
    }
    this.#skip();
    return items.length === 0 ? EMPTY : sequenceOf(items);
  }

  #item(): Expression | null {
    const start = this.#at;
    if (this.#take('"')) return this.#text();
    if (this.#take('[')) return this.#class(start);
    if (this.#take('(')) {
      const inner = this.#choice();
      if (!this.#take(')')) throw this.#error('expected )');
      return inner;
    }
    const name = this.#name();
    if (name === null) return null;
    this.#skip();
    if (this.#source.startsWith('::=', this.#at)) {
      // The next rule begins here.
      this.#at = start;
      return null;
    }
    this.#at = start + name.length;
    if (!this.#uses.has(name)) this.#uses.set(name, start);
    return rule(name);
  }

  #count(): [number, number | null] {
    if (this.#take('*')) return [0, null];
    if (this.#take('+')) return [1, null];
    if (this.#take('?')) return [0, 1];
    const match = /^\{\s*(\d+)\s*(,?)\s*(\d*)\s*\}/.exec(
      this.#source.slice(this.#at, this.#at + 40),
    );
    if (!match) return [1, 1];
    const [whole, least, comma, most] = match;
    const min = Number(least);
    const max = comma === '' ? min : most === '' ? null : Number(most);
    if (Math.max(min, max ?? 0) > MAX_REPEAT) throw this.#error(`repetitions end at ${MAX_REPEAT}`);
    if (max !== null && max < min)
      throw this.#error(`{${min},${max}} has its bounds in the wrong order`);
    this.#at += whole.length;
    return [min, max];
  }

  #text(): Expression {
    let value = '';
    while (!this.#take('"')) value += this.#character('"');
    if (hasLoneSurrogate(value)) throw this.#error('half of a surrogate pair is no text');
    return text(value);
  }

  #class(start: number): Expression {
    const isNegated = this.#take('^');
    const ranges: Range[] = [];
    while (!this.#take(']')) {
      const first = pointOf(this.#character(']'));
      if (this.#source[this.#at] === '-' && this.#source[this.#at + 1] !== ']') {
        this.#at += 1;
        const last = pointOf(this.#character(']'));
        if (last < first) throw this.#error('a range that ends before it begins', start);
        ranges.push([first, last]);
      } else ranges.push([first, first]);
    }
    const result = charactersOf(isNegated ? complement(ranges) : ranges);
    if (result.kind === 'class' && result.ranges.length === 0) {
      throw this.#error('a class that no character is in', start);
    }
    return result;
  }

  #character(end: string): string {
    const point = this.#source.codePointAt(this.#at);
    if (point === undefined || point === 0x0a) throw this.#error(`expected ${end}`);
    const character = String.fromCodePoint(point);
    this.#at += character.length;
    return character === '\\' ? this.#escape() : character;
  }

  #escape(): string {
    const rest = this.#source.slice(this.#at, this.#at + 9);
    const match = /^(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))/.exec(rest);
    if (match) {
      this.#at += match[0].length;
      const point = Number.parseInt(match[1] ?? match[2] ?? match[3], 16);
      if (point > 0x10ffff) throw this.#error('no such code point');
      return String.fromCodePoint(point);
    }
    const next = rest[0];
    const known = next !== undefined && Object.hasOwn(ESCAPES, next) ? ESCAPES[next] : undefined;
    if (known === undefined && (next === undefined || /[a-zA-Z0-9\n]/.test(next))) {
      throw this.#error(`\\${next ?? ''} is not an escape`);
    }
    this.#at += 1;
    return known ?? next;
  }

  #name(): string | null {
    const match = /^[a-zA-Z_][a-zA-Z0-9_-]*/.exec(this.#source.slice(this.#at, this.#at + 200));
    if (!match) return null;
    this.#at += match[0].length;
    return match[0];
  }

  /** Skips white space and comments. */
  #skip(): void {
    const space = /(?:\s|#[^\n]*)*/y;
    space.lastIndex = this.#at;
    this.#at += space.exec(this.#source)?.[0].length ?? 0;
  }

  #take(expected: string): boolean {
    if (!this.#source.startsWith(expected, this.#at)) return false;
    this.#at += expected.length;
    return true;
  }

  #error(problem: string, at = this.#at): OctavoError {
    const before = this.#source.slice(0, at).split('\n');
    const place = `line ${before.length}, column ${(before.at(-1) ?? '').length + 1}`;
    return new OctavoError('invalid_request', `${this.#param}: ${problem} (${place})`, {
      param: this.#param,
    });
  }
}

const pointOf = (character: string): number => character.codePointAt(0) ?? 0;
