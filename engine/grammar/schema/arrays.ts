import { EMPTY, type Expression, optional, repeat, sequence } from '../language/expression.js';
import { bracketed, type JsonStyle } from './json-rules.js';
import { schemaError } from './keywords.js';
import { itemMeet, prefixLength } from './member-schemas.js';
import type { RuleContext } from './rule-context.js';
import type { Shape } from './shape.js';
import { uniqueItemsOf } from './unique-items.js';

/** Maximum number of items that are declared one by one: each is a state of the grammar. */
const MAX_ITEMS = 1000;

/** Arrays of the shape. @returns null when no array is valid */
export function arrayOf(shape: Shape, context: RuleContext): Expression | null {
  const { style } = context;
  const { minItems, maxItems, uniqueItems } = shape;
  if (maxItems !== null && maxItems < minItems) return null;
  if (uniqueItems !== null && (maxItems === null || maxItems > 1)) {
    return uniqueItemsOf(shape, uniqueItems, context);
  }
  const canBeEmpty = minItems === 0;
  if (maxItems === 0) return bracketed('[', null, canBeEmpty, style);
  const prefix = prefixLength(shape);
  if (prefix > MAX_ITEMS) {
    throw schemaError(`${shape.pointer}/prefixItems`, `more than ${MAX_ITEMS} are not supported`);
  }
  const rest = itemMeet(shape, prefix);
  const isOpen = prefix === 0 || rest.length > 0 || minItems > prefix;
  const following =
    isOpen && (maxItems === null || maxItems > prefix) ? context.valueOf(rest) : null;
  let behind: Expression | null = following && repeatedItems(following, prefix, shape, style);
  // From the last declared item to the first: after each, the array ends or the next item follows.
  for (let index = prefix - 1; index >= 0; index--) {
    const item = context.valueOf(itemMeet(shape, index));
    const canEnd = index + 1 >= minItems;
    const canGoOn = maxItems === null || index + 1 < maxItems;
    const next: Expression | null = canGoOn && behind ? behind : null;
    const tail: Expression | null = next ? (canEnd ? optional(next) : next) : canEnd ? EMPTY : null;
    behind = item && tail && sequence(index === 0 ? EMPTY : style.comma, item, tail);
  }
  return bracketed('[', behind, canBeEmpty, style);
}

/** At least one item, after `count` others. */
function repeatedItems(
  item: Expression,
  count: number,
  { minItems, maxItems }: Shape,
  { comma }: JsonStyle,
): Expression {
  const next = sequence(comma, item);
  const least = Math.max(1, minItems - count);
  const most = maxItems === null ? null : maxItems - count;
  if (count > 0) return repeat(next, least, most);
  return sequence(item, repeat(next, least - 1, most === null ? null : most - 1));
}
