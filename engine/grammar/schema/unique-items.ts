import type { OctavoError } from '../../errors.js';
import { choiceOf, EMPTY, type Expression, optional, sequence } from '../language/expression.js';
import { finiteValues } from './finite-values.js';
import { bracketed, literal } from './json-rules.js';
import { schemaError } from './keywords.js';
import { itemMeet, prefixLength } from './member-schemas.js';
import type { RuleContext } from './rule-context.js';
import { isEqual, type Shape } from './shape.js';

/** Sets of values that may have been written before an item, over all places in an array. */
const MAX_SETS = 1100;

/** Of one place: more have too many sets, even of one value. */
const MAX_VALUES = MAX_SETS - 1;

/**
 * An array whose items differ. A grammar cannot compare what it has written, so it remembers it:
 * one state for each set of values that stand before an item. That takes items that are one of a
 * few values: all subsets of 10, or up to three of 18.
 *
 * @param pointer of the keyword, for messages
 * @returns null when there is none
 * @throws OctavoError `invalid_request` when items are not known one by one, or have too many sets
 */
export function uniqueItemsOf(
  shape: Shape,
  pointer: string,
  context: RuleContext,
): Expression | null {
  const prefix = prefixLength(shape);
  const isOpen = prefix === 0 || itemMeet(shape, prefix).length > 0 || shape.minItems > prefix;
  const end = Math.min(shape.maxItems ?? Infinity, isOpen ? Infinity : prefix);
  const canBeEmpty = shape.minItems === 0;
  const items = new DistinctItems(shape, prefix, end, pointer, context).after([]);
  return bracketed('[', items, canBeEmpty, context.style);
}

class DistinctItems {
  readonly #shape: Shape;
  readonly #prefix: number;
  readonly #end: number;
  readonly #pointer: string;
  readonly #context: RuleContext;
  /** One rule for all places where it stands: the library works out its masks once. */
  readonly #comma: Expression;
  readonly #states = new Map<string, Expression | null>();
  /** Values of all places with the rules that write them, and which of them each place may have. */
  readonly #values: { readonly value: unknown; readonly written: Expression }[] = [];
  readonly #places = new Map<number, readonly number[]>();

  constructor(shape: Shape, prefix: number, end: number, pointer: string, context: RuleContext) {
    this.#shape = shape;
    this.#prefix = prefix;
    this.#end = end;
    this.#pointer = pointer;
    this.#context = context;
    this.#comma = context.define(context.style.comma);
  }

  /**
   * What may follow some values, with the comma before it.
   *
   * @param used the values' numbers in order of size, so that one set has one state
   * @returns null when no array begins so
   */
  after(used: readonly number[]): Expression | null {
    const key = used.join(' ');
    const known = this.#states.get(key);
    if (known !== undefined) return known;
    if (this.#states.size >= MAX_SETS) throw this.#refusal();
    const index = used.length;
    const comma = index === 0 ? EMPTY : this.#comma;
    const ways: Expression[] = [];
    for (const number of index < this.#end ? this.#valuesAt(index) : []) {
      if (used.includes(number)) continue;
      const rest = this.after([...used, number].sort((a, b) => a - b));
      if (rest) ways.push(sequence(this.#values[number].written, rest));
    }
    const canEnd = index > 0 && index >= this.#shape.minItems;
    const more = ways.length === 0 ? null : sequence(comma, choiceOf(ways));
    const state = more ? this.#context.define(canEnd ? optional(more) : more) : null;
    const written = state ?? (canEnd ? EMPTY : null);
    this.#states.set(key, written);
    return written;
  }

  /** Places behind those with schemas of their own are all the same. */
  #valuesAt(index: number): readonly number[] {
    const place = Math.min(index, this.#prefix);
    const known = this.#places.get(place);
    if (known) return known;
    const values = finiteValues(itemMeet(this.#shape, place), MAX_VALUES, this.#context);
    if (!values) throw this.#refusal();
    const numbers = values.map((value) => {
      const found = this.#values.findIndex((other) => isEqual(other.value, value));
      if (found >= 0) return found;
      // Two rules: the library copies a rule of plain text into each rule that begins with it, and
      // works out the masks of every copy; it does not copy a rule that names another one.
      const text = this.#context.define(literal(value, this.#context.style));
      const written = this.#context.define(text);
      return this.#values.push({ value, written }) - 1;
    });
    this.#places.set(place, numbers);
    return numbers;
  }

  #refusal(): OctavoError {
    return schemaError(
      this.#pointer,
      'true is supported for items that are one of a few values (enum, const, boolean, null, an integer between two bounds), ' +
        `of which there are at most ${MAX_SETS} sets: those of 10 values, or of 18 with maxItems 3`,
    );
  }
}
