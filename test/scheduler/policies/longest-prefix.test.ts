import { describe, expect, it } from 'vitest';
import type { BlockHash } from '../../../kvcache/ids.js';
import { hashAt } from '../../../kvcache/prefix-lookup.js';
import {
  HALF_HEAD_START_TOKENS,
  LONGEST_HEAD_START_MS,
  LongestPrefixPolicy,
  type PrefixSource,
} from '../../../scheduler/policies/longest-prefix.js';
import type { Sequence } from '../../../scheduler/sequence.js';
import { describeSchedulingPolicy } from '../../conformance/scheduling-policy.js';
import { sequenceOf } from '../../support/sequences.js';

const BLOCK = 16;

/** A cache of names, which counts how often it is asked. */
class NamedBlocks implements PrefixSource {
  readonly found = new Set<BlockHash>();
  lookups = 0;

  cachedTokens(sequence: Sequence): number {
    this.lookups += 1;
    let blocks = 0;
    while (this.#has(sequence, blocks)) blocks += 1;
    return blocks * BLOCK;
  }

  missingBlock({ blocks, tokens }: Sequence, cachedTokens: number): BlockHash | null {
    if (cachedTokens + BLOCK >= tokens.length) return null;
    return hashAt(blocks, tokens, cachedTokens / BLOCK, BLOCK);
  }

  /** Computes the first blocks of a sequence, and tells the policy. */
  compute(policy: LongestPrefixPolicy, { blocks, tokens }: Sequence, count: number): void {
    for (let index = blocks.numCommitted; index < count; index++) {
      this.found.add(hashAt(blocks, tokens, index, BLOCK));
    }
    const first = blocks.numCommitted;
    blocks.numCommitted = count;
    policy.cached(blocks, first);
  }

  #has({ blocks, tokens }: Sequence, index: number): boolean {
    if ((index + 1) * BLOCK >= tokens.length) return false;
    return this.found.has(hashAt(blocks, tokens, index, BLOCK));
  }
}

/** What is cached of a sequence is a matter of its tenant. */
const byTenant: PrefixSource = {
  cachedTokens: ({ spec: { tenant } }) => (tenant === 'a' ? 100_000 : tenant === 'b' ? 160 : 0),
  missingBlock: () => null,
};
describeSchedulingPolicy('longest-prefix', () => new LongestPrefixPolicy(byTenant), {
  mostOvertaking: LONGEST_HEAD_START_MS / 1000,
});

/** Sequences of one prompt, of that many tokens each. */
function family(lengths: readonly number[], first = 0): Sequence[] {
  const prompt = sequenceOf(first, Math.max(...lengths)).spec.promptTokenIds;
  return lengths.map((length, i) =>
    sequenceOf(first + i, 1, { promptTokenIds: prompt.slice(0, length) }),
  );
}

describe('longest prefix first', () => {
  it('serves what has the longest cached prefix, and by arrival what has none', () => {
    const source = new NamedBlocks();
    const policy = new LongestPrefixPolicy(source);
    const strangers = [0, 1].map((order) => sequenceOf(order, 100));
    const [computed, short, long] = family([400, 100, 300], 2);
    source.compute(policy, computed, 20);
    for (const sequence of [...strangers, short, long]) policy.add(sequence);
    const order = [long, short, ...strangers];
    for (const sequence of order) {
      expect(policy.next()).toBe(sequence);
      policy.remove(sequence);
    }
  });

  it('learns of what is computed while it waits, and looks nothing up that has not changed', () => {
    const source = new NamedBlocks();
    const policy = new LongestPrefixPolicy(source);
    const [first, waiting] = family([400, 300], 60);
    const strangers = Array.from({ length: 50 }, (_, i) => sequenceOf(i, 100));
    for (const sequence of [...strangers, waiting]) policy.add(sequence);
    expect(policy.next()).toBe(strangers[0]);
    source.lookups = 0;
    for (let blocks = 1; blocks <= 12; blocks++) source.compute(policy, first, blocks);
    policy.checkIntegrity();
    expect(policy.next()).toBe(waiting);
    expect(source.lookups).toBeLessThanOrEqual(12 + 1);
    expect(waiting.rank).toBeCloseTo(
      -(LONGEST_HEAD_START_MS * 192) / (192 + HALF_HEAD_START_TOKENS),
    );
  });

  it('finds out what was given up when its turn comes', () => {
    const source = new NamedBlocks();
    const policy = new LongestPrefixPolicy(source);
    const [computed, waiting] = family([400, 300], 10);
    source.compute(policy, computed, 20);
    const stranger = sequenceOf(0, 100);
    policy.add(stranger);
    policy.add(waiting);
    expect(policy.next()).toBe(waiting);
    source.found.clear();
    expect(policy.next()).toBe(stranger);
    policy.checkIntegrity();
    // It is told again.
    computed.blocks.numCommitted = 0;
    source.compute(policy, computed, 20);
    expect(policy.next()).toBe(waiting);
  });
});
