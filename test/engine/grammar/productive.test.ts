import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  choice,
  EMPTY,
  type Expression,
  type Grammar,
  optional,
  repeat,
  rule,
  sequence,
  text,
} from '../../../engine/grammar/language/expression.js';
import { findEndlessRule } from '../../../engine/grammar/language/productive.js';
import { processorMs } from '../../support/processor-time.js';

const grammar = (rules: Readonly<Record<string, Expression>>): Grammar => ({
  root: rule('a'),
  rules: new Map(Object.entries(rules)),
});

/** By its definition: what is known to end grows until nothing changes. */
function endlessByDefinition({ rules }: Grammar): string | null {
  const known = new Set<string>();
  const ends = (expression: Expression): boolean => {
    switch (expression.kind) {
      case 'sequence':
        return expression.items.every(ends);
      case 'choice':
        return expression.items.some(ends);
      case 'repeat':
        return expression.min === 0 || ends(expression.item);
      case 'rule':
        return known.has(expression.name);
      case 'text':
      case 'class':
      case 'machine':
      case 'regular':
        return true;
    }
  };
  for (let before = -1; before < known.size; ) {
    before = known.size;
    for (const [name, body] of rules) if (ends(body)) known.add(name);
  }
  return [...rules.keys()].find((name) => !known.has(name)) ?? null;
}

const { expression } = fc.letrec<{ expression: Expression }>((tie) => ({
  expression: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom<Expression>(text('x'), EMPTY, rule('a'), rule('b'), rule('c'), rule('d')),
    fc.constantFrom<Expression>(rule('a'), rule('b'), rule('c'), rule('d')),
    fc.array(tie('expression'), { minLength: 1, maxLength: 3 }).map((items) => sequence(...items)),
    fc.array(tie('expression'), { minLength: 1, maxLength: 3 }).map((items) => choice(...items)),
    fc.tuple(tie('expression'), fc.nat(2)).map(([item, min]) => repeat(item, min, null)),
  ),
}));

describe('rules that have no end', () => {
  test('are those that lead to themselves by all their ways', () => {
    expect(findEndlessRule(grammar({ a: rule('a') }))).toBe('a');
    expect(findEndlessRule(grammar({ a: optional(rule('a')) }))).toBeNull();
    expect(findEndlessRule(grammar({ a: choice(rule('a'), text('x')) }))).toBeNull();
    expect(findEndlessRule(grammar({ a: rule('b'), b: sequence(rule('a'), text('x')) }))).toBe('a');
    // The choice is certain; what its other way comes to must not count for the rest of the
    // sequence.
    const certain = choice(text('x'), rule('c'));
    const rules = { a: sequence(certain, rule('b')), b: rule('b'), c: text('y') };
    expect(findEndlessRule(grammar(rules))).toBe('a');
  });

  test('whatever the grammar, it is as by definition', () => {
    const rules = fc.record({ a: expression, b: expression, c: expression, d: expression });
    fc.assert(
      fc.property(rules, (drawn) => {
        expect(findEndlessRule(grammar(drawn))).toBe(endlessByDefinition(grammar(drawn)));
      }),
      { numRuns: 3000, seed: 2 },
    );
  });

  test('are found in a time that grows with the grammar, in whatever order it is written', async () => {
    const count = 50_000;
    const chain = Array.from({ length: count }, (_, i): [string, Expression] => [
      `r${i}`,
      i + 1 < count ? sequence(text('a'), rule(`r${i + 1}`)) : text('b'),
    ]);
    for (const rules of [chain, chain.toReversed()]) {
      const spent = await processorMs(() => {
        expect(findEndlessRule({ root: rule('r0'), rules: new Map(rules) })).toBeNull();
      });
      // It takes some tenths of a second.
      expect(spent).toBeLessThan(10_000);
    }
  });
});
