import { OctavoError } from '../../errors.js';
import { CLASS_ESCAPES, CONTROL_ESCAPES, LINE_ENDS } from './character-classes.js';
import {
  characters,
  charactersOf,
  choiceOf,
  complement,
  EMPTY,
  type Expression,
  hasLoneSurrogate,
  intersect,
  type Range,
  repeat,
  sequenceOf,
  text,
} from './expression.js';

/** A repetition of more times is a mistake, or an attack. */
const MAX_REPEAT = 100_000;

export const ANY_CHARACTER = characters([0, 0x10ffff]);
export const ANY_TEXT = repeat(ANY_CHARACTER, 0, null);

/**
 * Converts a regular expression of ECMA-262 (flag `u`) to a grammar. What is not regular, or not
 * supported, is refused by name: look-around, back references, word boundaries, Unicode properties,
 * inner anchors.
 *
 * @param search `whole`: the whole text must match, as in vLLM's `guided_regex`. `anywhere`: a part
 *   of it must, as in JSON Schema's `pattern`
 * @param param the request field, for messages
 * @throws OctavoError `invalid_request`
 */
export function parseRegex(
  source: string,
  search: 'whole' | 'anywhere',
  param: string,
): Expression {
  if (hasLoneSurrogate(source)) {
    throw new OctavoError('invalid_request', `${param}: half of a surrogate pair is no text`, {
      param,
    });
  }
  try {
    new RegExp(source, 'u');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new OctavoError('invalid_request', `${param}: ${reason}`, { param });
  }
  return new RegexParser(source, search, param).parse();
}

/** Recursive descent over a pattern that the JavaScript engine has accepted. */
class RegexParser {
  readonly #characters: readonly string[];
  readonly #search: 'whole' | 'anywhere';
  readonly #param: string;
  #at = 0;
  #depth = 0;

  constructor(source: string, search: 'whole' | 'anywhere', param: string) {
    this.#characters = Array.from(source);
    this.#search = search;
    this.#param = param;
  }

  parse(): Expression {
    return this.#alternatives(true);
  }

  /**
   * @param outer whether anchors are allowed at the ends, because nothing of the pattern surrounds
   *   it
   */
  #alternatives(outer: boolean): Expression {
    if (++this.#depth > 200) throw this.#refusal('more than 200 nested groups');
    const items = [this.#alternative(outer)];
    while (this.#take('|')) items.push(this.#alternative(outer));
    this.#depth -= 1;
    return choiceOf(items);
  }

  #alternative(outer: boolean): Expression {
    const anywhere = outer && this.#search === 'anywhere';
    const fromStart = outer && this.#takeAnchors('^');
    const items: Expression[] = [];
    let toEnd = false;
    for (;;) {
      const next = this.#peek();
      if (next === undefined || next === '|' || next === ')') break;
      if (next === '$' && outer) {
        this.#takeAnchors('$');
        const after = this.#peek();
        if (after !== undefined && after !== '|' && after !== ')') {
          throw this.#refusal('$ before the end');
        }
        toEnd = true;
        break;
      }
      items.push(this.#term());
    }
    const start = anywhere && !fromStart ? ANY_TEXT : EMPTY;
    const end = anywhere && !toEnd ? ANY_TEXT : EMPTY;
    items.push(end);
    return sequenceOf([start, ...items]);
  }

  #takeAnchors(anchor: string): boolean {
    let taken = false;
    while (this.#take(anchor)) taken = true;
    return taken;
  }

  #term(): Expression {
    const atom = this.#atom();
    const [min, max] = this.#quantifier();
    return repeat(atom, min, max);
  }

  #quantifier(): [number, number | null] {
    let bounds: [number, number | null] = [1, 1];
    if (this.#take('*')) bounds = [0, null];
    else if (this.#take('+')) bounds = [1, null];
    else if (this.#take('?')) bounds = [0, 1];
    else if (this.#take('{')) {
      const [min, max = min] = this.#until('}').split(',');
      bounds = [Number(min), max === '' ? null : Number(max)];
    } else return bounds;
    if (Math.max(bounds[0], bounds[1] ?? 0) > MAX_REPEAT) {
      throw this.#refusal(`a repetition of more than ${MAX_REPEAT}`);
    }
    // Lazy or not, the language is the same.
    this.#take('?');
    return bounds;
  }

  #atom(): Expression {
    const next = this.#next();
    switch (next) {
      case '(':
        return this.#group();
      case '[':
        return this.#class();
      case '.':
        return charactersOf(complement(LINE_ENDS));
      case '^':
      case '$':
        throw this.#refusal(`${next} inside of the pattern`);
      case '\\': {
        const ranges = this.#escape();
        return charactersOf(ranges);
      }
      default:
        return text(next);
    }
  }

  #group(): Expression {
    if (this.#take('?')) {
      const kind = this.#next();
      if (kind === '<' && this.#peek() !== '=' && this.#peek() !== '!') this.#until('>');
      else if (kind !== ':') throw this.#refusal('look-around and flags inside of a group');
    }
    const inner = this.#alternatives(false);
    this.#take(')');
    return inner;
  }

  #class(): Expression {
    const isNegated = this.#take('^');
    const ranges: Range[] = [];
    while (!this.#take(']')) {
      const first = this.#classAtom();
      if (this.#peek() === '-' && this.#characters[this.#at + 1] !== ']') {
        this.#next();
        const last = this.#classAtom();
        ranges.push([first[0][0], last[0][1]]);
      } else for (const range of first) ranges.push(range);
    }
    const result = charactersOf(isNegated ? complement(ranges) : ranges);
    if (result.kind === 'class' && result.ranges.length === 0) {
      throw this.#refusal('a class that no character is in');
    }
    return result;
  }

  #classAtom(): Range[] {
    const next = this.#next();
    if (next === '\\') return this.#take('b') ? [[8, 8]] : this.#escape();
    return single(next);
  }

  #escape(): Range[] {
    const next = this.#next();
    const known = CLASS_ESCAPES[next];
    if (known) return known;
    const control = CONTROL_ESCAPES[next];
    if (control !== undefined) return [[control, control]];
    switch (next) {
      case 'c':
        return this.#valid((this.#next().codePointAt(0) ?? 0) % 32);
      case 'x':
        return this.#valid(Number.parseInt(this.#next() + this.#next(), 16));
      case 'u':
        return this.#valid(this.#unicodeEscape());
      case 'b':
      case 'B':
        throw this.#refusal(`\\${next}, a word boundary`);
      case 'p':
      case 'P':
        throw this.#refusal(`\\${next}, a Unicode property`);
      case 'k':
        throw this.#refusal('a back reference');
      default:
        if (/[1-9]/.test(next)) throw this.#refusal('a back reference');
        return single(next);
    }
  }

  #unicodeEscape(): number {
    if (this.#take('{')) return Number.parseInt(this.#until('}'), 16);
    const high = this.#fourDigits();
    const isHigh = high >= 0xd800 && high <= 0xdbff;
    if (!isHigh || this.#peek() !== '\\' || this.#characters[this.#at + 1] !== 'u') return high;
    this.#at += 2;
    return 0x10000 + ((high - 0xd800) << 10) + (this.#fourDigits() - 0xdc00);
  }

  #fourDigits(): number {
    return Number.parseInt([1, 2, 3, 4].map(() => this.#next()).join(''), 16);
  }

  #valid(codePoint: number): Range[] {
    const ranges: Range[] = [[codePoint, codePoint]];
    if (intersect(ranges, [[0xd800, 0xdfff]]).length > 0)
      throw this.#refusal('half of a surrogate pair');
    return ranges;
  }

  #until(end: string): string {
    let taken = '';
    for (let next = this.#next(); next !== end; next = this.#next()) taken += next;
    return taken;
  }

  #peek(): string | undefined {
    return this.#characters[this.#at];
  }

  #next(): string {
    const next = this.#characters[this.#at++];
    if (next === undefined) throw this.#refusal('an end inside of the pattern');
    return next;
  }

  #take(expected: string): boolean {
    if (this.#peek() !== expected) return false;
    this.#at += 1;
    return true;
  }

  #refusal(what: string): OctavoError {
    return new OctavoError(
      'invalid_request',
      `${this.#param}: ${what} is not supported in a regular expression (near character ${this.#at})`,
      { param: this.#param },
    );
  }
}

function single(character: string): Range[] {
  const codePoint = character.codePointAt(0) ?? 0;
  return [[codePoint, codePoint]];
}
