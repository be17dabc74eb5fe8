import { automatonOf, MAX_STATES, tooLarge, type Work } from './automaton.js';
import { PAIR, toSymbols, utf8Ranges } from './bytes.js';
import type { Expression, Grammar, Range } from './expression.js';

/**
 * Writes a grammar in the library's notation (GBNF), over its symbols (see `toSymbols`). All
 * symbols but letters and digits are escaped, so that none is read as syntax; rules are numbered.
 *
 * A regular part becomes an automaton with one rule for each state; every alternative ends in the
 * next state. The library computes masks of such rules when it compiles the grammar. With
 * `(a | b)*`, it tests all tokens again at each step: measured with 152k tokens and a JSON string,
 * 0.3 ms against 570 ms for a mask.
 */
export function printGrammar({ root, rules }: Grammar): string {
  return new Printer([...rules.keys()]).printAll(root, rules);
}

class Printer {
  readonly #names: ReadonlyMap<string, string>;
  readonly #lines: string[] = [];
  #states = 0;
  readonly #work: Work = { spent: 0 };
  readonly #automata = new Map<string, string>();

  constructor(names: readonly string[]) {
    this.#names = new Map(names.map((name, index) => [name, `r${index}`]));
  }

  printAll(root: Expression, rules: ReadonlyMap<string, Expression>): string {
    this.#lines.push(`root ::= ${this.#print(root)}`);
    for (const [name, body] of rules)
      this.#lines.push(`${this.#name(name)} ::= ${this.#print(body)}`);
    return `${this.#lines.join('\n')}\n`;
  }

  #name(name: string): string {
    const printed = this.#names.get(name);
    if (printed === undefined) throw new Error(`the rule ${name} is not defined`);
    return printed;
  }

  #print(expression: Expression): string {
    switch (expression.kind) {
      case 'text':
        return `"${toSymbols(Buffer.from(expression.text)).map(escape).join('')}"`;
      case 'class':
        return `(${expression.ranges
          .flatMap(utf8Ranges)
          .map((bytes) => bytes.map((range) => `(${symbolsOf([range])})`).join(' '))
          .join(' | ')})`;
      case 'sequence':
        return expression.items.map((item) => this.#printItem(item)).join(' ');
      case 'choice':
        return expression.items.map((item) => this.#print(item)).join(' | ');
      case 'repeat':
        return this.#printItem(expression.item) + printCount(expression.min, expression.max);
      case 'rule':
        return this.#name(expression.name);
      case 'machine':
        return this.#printAutomaton(expression);
      case 'regular':
        return this.#printAutomaton(expression.item);
    }
  }

  #printItem(item: Expression): string {
    const isGroup = item.kind === 'sequence' || item.kind === 'choice' || item.kind === 'repeat';
    return isGroup ? `(${this.#print(item)})` : this.#print(item);
  }

  /** @returns the rule of the automaton's first state */
  #printAutomaton(expression: Expression): string {
    const key = JSON.stringify(expression);
    const known = this.#automata.get(key);
    if (known !== undefined) return known;
    const prefix = `a${this.#automata.size}s`;
    this.#automata.set(key, `${prefix}0`);
    const { states } = automatonOf(expression, this.#work);
    this.#states += states.length;
    if (this.#states > MAX_STATES) throw tooLarge();
    const isEnd = (index: number): boolean =>
      states[index].isFinal && states[index].moves.length === 0;
    states.forEach(({ isFinal, moves }, index) => {
      if (isEnd(index) && index > 0) return;
      const ways = moves.flatMap(({ ranges, target }) =>
        symbolWays(ranges).map((way) => (isEnd(target) ? way : `${way} ${prefix}${target}`)),
      );
      if (isFinal) ways.push('""');
      this.#lines.push(`${prefix}${index} ::= ${ways.join(' | ')}`);
    });
    return `${prefix}0`;
  }
}

const symbolsOf = (ranges: readonly Range[]): string => symbolWays(ranges).join(' | ');

/** Any one byte of the ranges, in symbols: bytes below 128 as a class, others as pairs. */
function symbolWays(ranges: readonly Range[]): string[] {
  const plain: Range[] = [];
  const paired: Range[] = [];
  for (const [first, last] of ranges) {
    if (first < PAIR) plain.push([first, Math.min(last, PAIR - 1)]);
    if (first <= PAIR && last >= PAIR) paired.push([PAIR, PAIR]);
    if (last >= 0x80) paired.push([Math.max(first, 0x80) & 0x7f, last & 0x7f]);
  }
  const ways: string[] = [];
  if (plain.length > 0) ways.push(printClass(plain));
  if (paired.length > 0) ways.push(`"${escape(PAIR)}" ${printClass(paired)}`);
  return ways;
}

function printCount(min: number, max: number | null): string {
  if (max === null) return min === 0 ? '*' : min === 1 ? '+' : `{${min},}`;
  return min === 0 && max === 1 ? '?' : `{${min},${max}}`;
}

const printClass = (ranges: readonly Range[]): string => `[${ranges.map(printRange).join('')}]`;

const printRange = ([first, last]: Range): string =>
  first === last ? escape(first) : `${escape(first)}-${escape(last)}`;

function escape(symbol: number): string {
  const isPlain =
    (symbol >= 0x30 && symbol <= 0x39) ||
    (symbol >= 0x41 && symbol <= 0x5a) ||
    (symbol >= 0x61 && symbol <= 0x7a);
  return isPlain ? String.fromCodePoint(symbol) : `\\u${symbol.toString(16).padStart(4, '0')}`;
}
