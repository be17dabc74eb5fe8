import fc from 'fast-check';
import type { PagedAttentionConfig } from '../../engine/attention/page-layout.js';
import {
  type AttentionBatch,
  type AttentionLayer,
  type AttentionShape,
  joinTables,
  KV_DTYPES,
  type KvDtype,
} from '../../engine/attention/paged-attention.js';

/**
 * Everything that a conformance case needs: a configuration, and the steps that are run one after
 * another.
 */
export interface AttentionCase {
  readonly config: PagedAttentionConfig;
  readonly steps: readonly AttentionStep[];
}

export interface AttentionStep {
  readonly batch: AttentionBatch;
  readonly numTokens: number;
  readonly seed: number;
}

interface Draft {
  readonly kvHeads: number;
  readonly group: number;
  readonly headSize: number;
  readonly blockSize: number;
  readonly kvDtype: KvDtype;
  readonly threads: number;
  readonly softcap: number;
  readonly window: number;
  readonly sinks: boolean;
  readonly alibi: boolean;
  /** Whether the second layer attends over the first one's pages. */
  readonly reads: boolean;
  /** Tokens of the images in each piece, which see each other; text of as many is between them. */
  readonly images: number;
  readonly rotary: 'none' | 'halves' | 'interleaved' | 'partial';
  /** For each sequence, the number of tokens of its pieces. */
  readonly sequences: readonly (readonly number[])[];
  readonly seed: number;
}

/** Any shape, any format, any batch of prompts and decodes, on shuffled blocks. */
export const attentionCase: fc.Arbitrary<AttentionCase> = fc
  .record<Draft>({
    kvHeads: fc.integer({ min: 1, max: 3 }),
    group: fc.constantFrom(1, 2, 3, 7),
    headSize: fc.constantFrom(8, 24, 32, 64, 80, 128, 256, 512),
    blockSize: fc.constantFrom(4, 8, 16, 20, 32),
    kvDtype: fc.constantFrom(...KV_DTYPES),
    threads: fc.constantFrom(1, 2, 3),
    softcap: fc.constantFrom(0, 0, 5),
    window: fc.constantFrom(0, 0, 1, 7, 40),
    sinks: fc.boolean(),
    alibi: fc.boolean(),
    reads: fc.boolean(),
    images: fc.constantFrom(0, 0, 5, 30),
    rotary: fc.constantFrom('none', 'halves', 'interleaved', 'partial'),
    sequences: fc.array(
      fc.array(fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 90 })), {
        minLength: 1,
        maxLength: 3,
      }),
      { minLength: 1, maxLength: 4 },
    ),
    seed: fc.nat(),
  })
  .map(toCase);

function toCase(draft: Draft): AttentionCase {
  const { blockSize, sequences } = draft;
  const lengths = sequences.map((pieces) => pieces.reduce((a, b) => a + b, 0));
  const needed = lengths.map((length) => Math.ceil(length / blockSize));
  const numBlocks = needed.reduce((a, b) => a + b, 0) + 2;
  const order = shuffled(numBlocks, draft.seed);
  let next = 0;
  const tables = needed.map((count) => order.slice(next, (next += count)));
  const numSteps = Math.max(...sequences.map((pieces) => pieces.length));
  const steps = Array.from({ length: numSteps }, (_, step) => {
    const taking = sequences.flatMap((pieces, s) => (step < pieces.length ? [s] : []));
    return toStep(draft, step, taking, tables);
  });
  // One that attends over the first one's pages has other heads and another window.
  const reading = { ...draft, group: draft.group + 1, window: draft.window > 0 ? 0 : 7 };
  const second = draft.reads ? { ...shape(reading), pagesOf: 0 } : shape(draft);
  const layers = [shape(draft), second];
  return {
    config: { layers, numBlocks, blockSize, kvDtype: draft.kvDtype, threads: draft.threads },
    steps,
  };
}

function toStep(
  draft: Draft,
  step: number,
  taking: readonly number[],
  tables: readonly (readonly number[])[],
): AttentionStep {
  const queries = taking.map((s) => draft.sequences[s][step]);
  const queryStarts = new Int32Array(taking.length + 1);
  queries.forEach((count, i) => {
    queryStarts[i + 1] = queryStarts[i] + count;
  });
  const contexts = taking.map((s) =>
    draft.sequences[s].slice(0, step + 1).reduce((a, b) => a + b, 0),
  );
  return {
    numTokens: queryStarts[taking.length],
    seed: draft.seed + 1000 * step,
    batch: {
      numSequences: taking.length,
      queryStarts,
      contextLengths: Int32Array.from(contexts),
      blockTables: [joinTables(taking.map((s) => tables[s]))],
      ...(draft.images > 0 && {
        lastSeen: Int32Array.from(
          queries.flatMap((count, i) => lastSeen(count, contexts[i] - count, draft.images)),
        ),
      }),
    },
  };
}

/** By query of a piece; every other group of `size` tokens is an image. */
function lastSeen(count: number, past: number, size: number): number[] {
  return Array.from({ length: count }, (_, i) => {
    const group = Math.floor(i / size);
    return past + (group % 2 === 0 ? Math.min(count, (group + 1) * size) - 1 : i);
  });
}

function shape(draft: Draft): AttentionShape {
  const { kvHeads, group, headSize, rotary } = draft;
  const numHeads = kvHeads * group;
  const dim = rotary === 'partial' ? headSize / 2 : headSize;
  const table = (f: (x: number) => number): Float32Array =>
    Float32Array.from({ length: 300 * (dim / 2) }, (_, i) => {
      const position = Math.floor(i / (dim / 2));
      return f(position / 100 ** ((i % (dim / 2)) / (dim / 2)));
    });
  return {
    numHeads,
    numKvHeads: kvHeads,
    headSize,
    scale: 1 / Math.sqrt(headSize),
    softcap: draft.softcap,
    slidingWindow: draft.window,
    sinks: draft.sinks ? numbers(numHeads, draft.seed + 5) : null,
    alibiSlopes: draft.alibi ? numbers(numHeads, draft.seed + 6).map((x) => Math.abs(x) / 8) : null,
    rotary:
      rotary === 'none'
        ? null
        : {
            dim,
            interleaved: rotary === 'interleaved',
            cos: table(Math.cos),
            sin: table(Math.sin),
          },
  };
}

/** A layer without any extras. */
export function plainLayer(headSize: number, more: Partial<AttentionLayer> = {}): AttentionLayer {
  return {
    numHeads: more.numKvHeads ?? 1,
    numKvHeads: 1,
    headSize,
    scale: 1,
    softcap: 0,
    slidingWindow: 0,
    sinks: null,
    alibiSlopes: null,
    rotary: null,
    ...more,
  };
}

/** Numbers in [-1, 1] from a seed. */
export function numbers(length: number, seed: number): Float32Array {
  let state = (seed * 2654435761) >>> 0;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 32) * 2 - 1;
  });
}

function shuffled(length: number, seed: number): number[] {
  const keys = numbers(length, seed + 17);
  return Array.from({ length }, (_, i) => i).sort((a, b) => keys[a] - keys[b]);
}
