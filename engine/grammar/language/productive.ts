import type { Expression, Grammar } from './expression.js';

/**
 * A rule that no finite text can satisfy, because each of its ways leads to itself again: a model that enters it never ends.
 *
 * @returns its name; null when every rule ends somewhere
 */
export function findEndlessRule({ rules }: Grammar): string | null {
  const productive = new Set<string>();
  const isProductive = (expression: Expression): boolean => {
    switch (expression.kind) {
      case 'text':
      case 'class':
      case 'regular':
        return true;
      case 'sequence':
        return expression.items.every(isProductive);
      case 'choice':
        return expression.items.some(isProductive);
      case 'repeat':
        return expression.min === 0 || isProductive(expression.item);
      case 'rule':
        return productive.has(expression.name);
    }
  };
  for (let before = -1; before < productive.size; ) {
    before = productive.size;
    // From the last to the first: what a rule needs has mostly been written after it.
    for (const [name, body] of [...rules].toReversed()) {
      if (!productive.has(name) && isProductive(body)) productive.add(name);
    }
  }
  return [...rules.keys()].find((name) => !productive.has(name)) ?? null;
}
