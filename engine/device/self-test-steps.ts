import {
  type AttentionBatch,
  type AttentionShape,
  joinTables,
} from '../attention/paged-attention.js';
import { noise } from '../noise.js';
import { int64 } from '../runner/step-batch.js';

/** A step of one attention layer, with its random inputs. */
export interface TestStep {
  readonly name: string;
  readonly numTokens: number;
  readonly batch: AttentionBatch;
  /** `[T]` */
  readonly positions: BigInt64Array;
  /** `[T, numHeads * headSize]` */
  readonly query: Float32Array;
  /** `[T, numKvHeads * headSize]` */
  readonly key: Float32Array;
  readonly value: Float32Array;
}

/** New tokens of two sequences by step; 0: the sequence is not in it. */
const STEPS = [
  { name: 'a step of prompts', lengths: [40, 5] },
  { name: 'a step of a piece of a prompt beside a token', lengths: [37, 1] },
  { name: 'a step of single tokens', lengths: [1, 1] },
  { name: 'a short piece of a prompt', lengths: [0, 9] },
] as const;

/** Standard deviation of scores: weights then differ much, as those of models do. */
const SPREAD = 1.5;

/**
 * Steps of two sequences on blocks that are not in order. Their contexts end at 78 and 16 tokens,
 * so that blocks must have 16 tokens or more.
 */
export function* testSteps(shape: AttentionShape): Generator<TestStep> {
  const { numHeads, numKvHeads, headSize, scale } = shape;
  const next = noise(20261130);
  const rows = (count: number, size: number): Float32Array =>
    Float32Array.from({ length: count }, () => size * next());
  const blocksOf = [
    [7, 2, 9, 4, 11],
    [5, 1],
  ];
  const past = [0, 0];
  // A sum of n products of two uniform numbers in [-1, 1] deviates by a third of the root of n.
  const querySize = (3 * SPREAD) / (Math.sqrt(headSize) * scale);
  for (const { name, lengths } of STEPS) {
    const members = [0, 1].filter((s) => lengths[s] > 0);
    const numTokens = lengths[0] + lengths[1];
    const positions = members.flatMap((s) =>
      Array.from({ length: lengths[s] }, (_, i) => past[s] + i),
    );
    for (const s of members) past[s] += lengths[s];
    const starts = members.map((_, i) =>
      members.slice(0, i + 1).reduce((n, s) => n + lengths[s], 0),
    );
    yield {
      name,
      numTokens,
      positions: int64(positions),
      batch: {
        numSequences: members.length,
        queryStarts: Int32Array.of(0, ...starts),
        contextLengths: Int32Array.from(members, (s) => past[s]),
        blockTables: [joinTables(members.map((s) => blocksOf[s]))],
      },
      query: rows(numTokens * numHeads * headSize, querySize),
      key: rows(numTokens * numKvHeads * headSize, 1),
      value: rows(numTokens * numKvHeads * headSize, 1),
    };
  }
}
