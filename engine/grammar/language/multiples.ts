import { automatonOf, type Work } from './automaton.js';
import {
  characters,
  choiceOf,
  EMPTY,
  type Expression,
  type Range,
  sequence,
} from './expression.js';
import { Remainders } from './remainders.js';

/** Maximum number of states that are visited, in about a tenth of a second. */
const MAX_SEEN = 20_000;

/** Maximum number of states of the result, which the library compiles one by one. */
const MAX_LEFT = 2000;

const MAX_MODULUS = 10n ** 12n;

const DIGIT_0 = 0x30;
const POINT = 0x2e;
const MINUS = 0x2d;

/**
 * State after reading some digits: a state of the automaton of all numbers, the number of digits
 * after the decimal point (-1 before the point), and a remainder.
 */
interface State {
  readonly at: number;
  readonly places: number;
  readonly remainder: number;
}

/**
 * The multiples of a decimal among some numbers: the product of the numbers' automaton with an
 * automaton of remainders. Numbers have bounded length, so it has no cycles, and equivalent states
 * are merged from the last digit to the first (Revuz 1992, "Minimisation of acyclic deterministic
 * automata in linear time").
 *
 * @param numbers decimals without exponent, regular, of bounded length
 * @param of `units / 10 ** scale`
 * @param define defines a rule for an expression
 * @param work work that the automata of the whole grammar have cost
 * @returns null when there are no multiples; 'too many' when it needs more states than are
 *   supported
 */
export function multiplesAmong(
  numbers: Expression,
  of: { readonly units: bigint; readonly scale: number },
  define: (expression: Expression) => Expression,
  work: Work,
): Expression | null | 'too many' {
  if (of.units > MAX_MODULUS) return 'too many';
  const { states } = automatonOf(numbers, work);
  const remainders = new Remainders(Number(of.units), of.scale);
  const seen = new Map<string, Expression | null>();
  const rules = new Map<string, Expression>();
  let isTooLarge = false;

  const follow = (state: State, byte: number): State | null => {
    const { places, remainder } = state;
    const move = states[state.at].moves.find(({ ranges }) =>
      ranges.some(([first, last]) => first <= byte && byte <= last),
    );
    if (!move) return null;
    const at = move.target;
    if (byte === MINUS) return { ...state, at };
    if (byte === POINT) return { at, places: 0, remainder };
    const behind = places < 0 ? -1 : places + 1;
    const next = remainders.next(remainder, byte - DIGIT_0, Math.max(0, behind));
    return next === null ? null : { at, places: behind, remainder: next };
  };

  const write = (state: State): Expression | null => {
    const key = `${state.at} ${state.places} ${state.remainder}`;
    const known = seen.get(key);
    if (known !== undefined) return known;
    if (isTooLarge || seen.size >= MAX_SEEN || rules.size > MAX_LEFT) {
      isTooLarge = true;
      return null;
    }
    const ways = new Map<Expression, Range[]>();
    for (const byte of BYTES) {
      const next = follow(state, byte);
      const rest = next && write(next);
      if (!rest) continue;
      const ranges = ways.get(rest) ?? [];
      ranges.push([byte, byte]);
      ways.set(rest, ranges);
    }
    const isEnd = states[state.at].isFinal && state.remainder === 0;
    const written = body(ways, isEnd);
    seen.set(key, written);
    return written;
  };

  const body = (ways: ReadonlyMap<Expression, Range[]>, isEnd: boolean): Expression | null => {
    if (ways.size === 0) return isEnd ? EMPTY : null;
    const items = [...ways].map(([rest, ranges]) => sequence(characters(...ranges), rest));
    const expression = choiceOf(isEnd ? [...items, EMPTY] : items);
    const key = JSON.stringify(expression);
    const rule = rules.get(key) ?? define(expression);
    rules.set(key, rule);
    return rule;
  };

  const start = write({ at: 0, places: -1, remainder: 0 });
  work.spent += seen.size * BYTES.length;
  return isTooLarge ? 'too many' : start;
}

const BYTES = [MINUS, POINT, ...Array.from({ length: 10 }, (_, digit) => DIGIT_0 + digit)];
