import type { StepPlan } from '../../scheduler/step-plan.js';
import { type AttentionBatch, joinTables } from '../attention/paged-attention.js';

/** A plan as arrays that the graph and the attention read. */
export interface StepBatch {
  readonly numTokens: number;
  /** `[T]` int64 */
  readonly inputIds: BigInt64Array;
  /** `[T]` int64: each token's position in its sequence. */
  readonly positionIds: BigInt64Array;
  /** `[T]` int64: length of each token's sequence, including tokens of later steps. */
  readonly sequenceLengths: BigInt64Array;
  readonly attention: AttentionBatch;
}

/** Concatenates the plan's sequences, without padding. */
export function buildStepBatch(plan: StepPlan): StepBatch {
  const { sequences, numTokens } = plan;
  const inputIds = new Int64Writer(numTokens);
  const positionIds = new Int64Writer(numTokens);
  const sequenceLengths = new Int64Writer(numTokens);
  const queryStarts = new Int32Array(sequences.length + 1);
  const contextLengths = new Int32Array(sequences.length);

  let row = 0;
  sequences.forEach((sequence, s) => {
    for (const [i, token] of sequence.tokenIds.entries()) {
      inputIds.push(token);
      positionIds.push(sequence.numComputed + i);
      sequenceLengths.push(sequence.sequenceLength);
    }
    row += sequence.tokenIds.length;
    queryStarts[s + 1] = row;
    contextLengths[s] = sequence.numComputed + sequence.tokenIds.length;
  });
  return {
    numTokens,
    inputIds: inputIds.array,
    positionIds: positionIds.array,
    sequenceLengths: sequenceLengths.array,
    attention: {
      numSequences: sequences.length,
      queryStarts,
      contextLengths,
      ...lastSeenBy(plan),
      blockTables: sequences[0].blockTables.map((_, group) =>
        joinTables(sequences.map(({ blockTables }) => blockTables[group])),
      ),
    },
  };
}

/**
 * Tokens of an image may attend to each other in both directions; the plan has all of them that are
 * not cached.
 *
 * @returns nothing for a step without such tokens
 */
function lastSeenBy({ sequences, numTokens }: StepPlan): Pick<AttentionBatch, 'lastSeen'> {
  let lastSeen: Int32Array | null = null;
  let row = 0;
  for (const { tokenIds, numComputed, contents = [] } of sequences) {
    const behind = numComputed + tokenIds.length;
    for (const { start, end, isBidirectional } of contents) {
      if (!isBidirectional || end <= numComputed || start >= behind) continue;
      lastSeen ??= ownPositions(sequences, numTokens);
      const first = Math.max(start, numComputed);
      lastSeen.fill(end - 1, row + first - numComputed, row + end - numComputed);
    }
    row += tokenIds.length;
  }
  return lastSeen ? { lastSeen } : {};
}

function ownPositions(sequences: StepPlan['sequences'], numTokens: number): Int32Array {
  const positions = new Int32Array(numTokens);
  let row = 0;
  for (const { tokenIds, numComputed } of sequences) {
    for (let i = 0; i < tokenIds.length; i++) positions[row++] = numComputed + i;
  }
  return positions;
}

/** Converts small non-negative numbers to int64. */
export function int64(values: readonly number[]): BigInt64Array {
  const writer = new Int64Writer(values.length);
  for (const value of values) writer.push(value);
  return writer.array;
}

/**
 * Fills an int64 array with small non-negative numbers by writing their low words, without a BigInt
 * for each.
 */
class Int64Writer {
  readonly array: BigInt64Array;
  readonly #words: Int32Array;
  #length = 0;

  constructor(length: number) {
    this.array = new BigInt64Array(length);
    this.#words = new Int32Array(this.array.buffer);
  }

  push(value: number): void {
    this.#words[2 * this.#length] = value;
    this.#length += 1;
  }
}
