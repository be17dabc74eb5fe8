import { OctavoError } from '../../errors.js';
import { utf8Ranges } from './bytes.js';
import type { Expression, Range } from './expression.js';

/** Maximum number of states of one automaton, and of all automata of a grammar together. */
export const MAX_STATES = 20_000;

/**
 * Maximum number of set members that are visited, counted at each visit: about a second for a
 * grammar's patterns.
 */
const MAX_WORK = 2_000_000;

/** The work that the automata of one grammar have cost so far. */
export interface Work {
  spent: number;
}

/** A deterministic automaton over the bytes of UTF-8. State 0 is the start. */
export interface Automaton {
  readonly states: readonly {
    readonly isFinal: boolean;
    readonly moves: readonly { readonly ranges: readonly Range[]; readonly target: number }[];
  }[];
}

/**
 * A nondeterministic automaton under construction (Thompson 1968), with moves on bytes and empty
 * moves.
 */
class Fragments {
  readonly bytes: { readonly range: Range; readonly target: number }[][] = [];
  readonly empty: number[][] = [];

  state(): number {
    if (this.bytes.length > MAX_STATES * 4) throw tooLarge();
    this.empty.push([]);
    return this.bytes.push([]) - 1;
  }

  /** Adds the expression after state `from`. @returns its final state */
  add(expression: Expression, from: number): number {
    switch (expression.kind) {
      case 'text':
        return [...Buffer.from(expression.text)].reduce(
          (at, byte) => this.#byte([byte, byte], at, this.state()),
          from,
        );
      case 'class':
        return this.#character(expression.ranges, from, this.state());
      case 'machine': {
        const numbers = expression.states.map(() => this.state());
        const end = this.state();
        this.empty[from].push(numbers[0]);
        for (const [index, { isFinal, moves }] of expression.states.entries()) {
          if (isFinal) this.empty[numbers[index]].push(end);
          for (const { ranges, target } of moves) {
            this.#character(ranges, numbers[index], numbers[target]);
          }
        }
        return end;
      }
      case 'sequence':
        return expression.items.reduce((at, item) => this.add(item, at), from);
      case 'choice': {
        const end = this.state();
        for (const item of expression.items) {
          const start = this.state();
          this.empty[from].push(start);
          this.empty[this.add(item, start)].push(end);
        }
        return end;
      }
      case 'repeat':
        return this.#repeat(expression.item, expression.min, expression.max, from);
      case 'regular':
        return this.add(expression.item, from);
      case 'rule':
        throw new Error('a rule is not regular');
    }
  }

  #repeat(item: Expression, min: number, max: number | null, from: number): number {
    let at = from;
    for (let count = 0; count < min; count++) at = this.add(item, at);
    const end = this.state();
    if (max === null) {
      const loop = this.state();
      this.empty[at].push(loop);
      this.empty[this.add(item, loop)].push(loop);
      this.empty[loop].push(end);
      return end;
    }
    this.empty[at].push(end);
    for (let count = min; count < max; count++) {
      at = this.add(item, at);
      this.empty[at].push(end);
    }
    return end;
  }

  /** One code point of the ranges leads to `target`. @returns `target` */
  #character(ranges: readonly Range[], from: number, target: number): number {
    for (const bytes of ranges.flatMap(utf8Ranges)) {
      const inner = bytes.slice(0, -1).reduce((at, r) => this.#byte(r, at, this.state()), from);
      this.#byte(bytes[bytes.length - 1], inner, target);
    }
    return target;
  }

  #byte(range: Range, from: number, target: number): number {
    this.bytes[from].push({ range, target });
    return target;
  }
}

/**
 * Subset construction (Rabin and Scott 1959).
 *
 * @param expression without rules
 * @param work of the grammar to which the automaton belongs
 * @throws OctavoError `invalid_request` when it grows too large
 */
export function automatonOf(expression: Expression, work: Work = { spent: 0 }): Automaton {
  const fragments = new Fragments();
  const start = fragments.state();
  const end = fragments.add(expression, start);
  const numbers = new Map<string, number>();
  const sets: number[][] = [];
  const numberOf = (members: readonly number[]): number => {
    const set = closure(members, fragments.empty);
    work.spent += set.length;
    if (work.spent > MAX_WORK) throw tooLarge();
    const key = set.join(' ');
    const known = numbers.get(key);
    if (known !== undefined) return known;
    if (sets.length >= MAX_STATES) throw tooLarge();
    numbers.set(key, sets.length);
    return sets.push(set) - 1;
  };
  numberOf([start]);
  const states: Automaton['states'][number][] = [];
  for (let index = 0; index < sets.length; index++) {
    const set = sets[index];
    const byTarget = new Map<number, Range[]>();
    for (const { range, targets } of distinctRanges(
      set.flatMap((state) => fragments.bytes[state]),
    )) {
      const target = numberOf(targets);
      const ranges = byTarget.get(target) ?? [];
      ranges.push(range);
      byTarget.set(target, ranges);
    }
    const moves = [...byTarget].map(([target, ranges]) => ({ ranges, target }));
    states.push({ isFinal: set.includes(end), moves });
  }
  return { states };
}

function closure(members: readonly number[], empty: readonly (readonly number[])[]): number[] {
  const seen = new Set(members);
  const queue = [...members];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    for (const target of empty[next]) {
      if (seen.has(target)) continue;
      seen.add(target);
      queue.push(target);
    }
  }
  return [...seen].sort((a, b) => a - b);
}

/** Splits overlapping moves at their bounds, into disjoint ranges with all their targets. */
function distinctRanges(
  moves: readonly { readonly range: Range; readonly target: number }[],
): { range: Range; targets: number[] }[] {
  const bounds = new Set<number>();
  for (const { range } of moves) bounds.add(range[0]).add(range[1] + 1);
  const cuts = [...bounds].sort((a, b) => a - b);
  return cuts.flatMap((first, index) => {
    const last = cuts[index + 1] - 1;
    const targets = moves
      .filter(({ range }) => range[0] <= first && last <= range[1])
      .map((m) => m.target);
    return targets.length === 0 ? [] : [{ range: [first, last] as const, targets }];
  });
}

export const tooLarge = (): OctavoError =>
  new OctavoError(
    'invalid_request',
    `a pattern or a string length is too large: more than ${MAX_STATES} states are not supported`,
  );
