import fc from 'fast-check';
import type { PagedAttentionConfig } from '../../engine/attention/page-layout.js';
import {
  type AttentionBatch,
  type AttentionShape,
  joinTables,
  KV_DTYPES,
  type KvDtype,
  type PagedAttention,
  type RotaryEmbedding,
} from '../../engine/attention/paged-attention.js';
import { numbers } from './attention-cases.js';

/** Sequences of one step, some of whose contexts begin in the same blocks. */
export interface SharedContexts {
  readonly config: PagedAttentionConfig;
  readonly sequences: readonly SharingSequence[];
}

export interface SharingSequence {
  readonly table: readonly number[];
  /** Tokens, with those of the step. */
  readonly context: number;
  /** Of these, those of the step. */
  readonly queries: number;
  readonly lastSeen: readonly number[];
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
  readonly images: boolean;
  readonly rotates: boolean;
  /** Tokens that all contexts begin with. */
  readonly trunk: number;
  /** Families that go on alike for some more tokens, each member then on its own. */
  readonly families: readonly {
    readonly shared: number;
    readonly members: readonly { readonly own: number; readonly queries: number }[];
  }[];
  readonly seed: number;
}

const family = fc.record({
  shared: fc.constantFrom(0, 130, 400, 700),
  members: fc.array(
    fc.record({
      own: fc.oneof(fc.nat({ max: 40 }), fc.nat({ max: 700 })),
      queries: fc.constantFrom(1, 1, 1, 2, 5, 60),
    }),
    { minLength: 1, maxLength: 4 },
  ),
});

/** Any shape, any format, and tables that form any prefix tree of two levels. */
export const sharedContexts: fc.Arbitrary<SharedContexts> = fc
  .record<Draft>({
    kvHeads: fc.constantFrom(1, 2),
    group: fc.constantFrom(1, 2, 3, 7),
    headSize: fc.constantFrom(8, 24, 64),
    blockSize: fc.constantFrom(4, 16, 16, 20, 64, 256),
    kvDtype: fc.constantFrom(...KV_DTYPES),
    threads: fc.constantFrom(1, 2, 3, 4),
    softcap: fc.constantFrom(0, 0, 5),
    window: fc.constantFrom(0, 0, 0, 40, 700, 5000),
    sinks: fc.boolean(),
    alibi: fc.boolean(),
    images: fc.boolean(),
    rotates: fc.boolean(),
    trunk: fc.constantFrom(0, 100, 300, 700, 1100),
    families: fc.array(family, { minLength: 1, maxLength: 3 }),
    seed: fc.nat(),
  })
  .map(toContexts);

function toContexts(draft: Draft): SharedContexts {
  const { blockSize } = draft;
  let numBlocks = 0;
  const blocksFor = (tokens: number): number[] =>
    Array.from({ length: Math.floor(tokens / blockSize) }, () => numBlocks++);
  const trunk = blocksFor(draft.trunk);
  const sequences = draft.families.flatMap(({ shared, members }) => {
    const common = [...trunk, ...blocksFor(shared)];
    return members.map(({ own, queries }): SharingSequence => {
      const past = common.length * blockSize + own;
      const context = past + queries;
      const table = [...common, ...blocksFor(own + queries + blockSize - 1)];
      const last = (i: number): number => (draft.images && i % 2 === 0 ? context - 1 : past + i);
      return {
        table,
        context,
        queries,
        lastSeen: Array.from({ length: queries }, (_, i) => last(i)),
      };
    });
  });
  return {
    config: {
      layers: [shape(draft)],
      numBlocks,
      blockSize,
      kvDtype: draft.kvDtype,
      threads: draft.threads,
    },
    sequences,
  };
}

function shape(draft: Draft): AttentionShape {
  const { kvHeads, group, headSize, seed } = draft;
  const numHeads = kvHeads * group;
  return {
    numHeads,
    numKvHeads: kvHeads,
    headSize,
    scale: 1 / Math.sqrt(headSize),
    softcap: draft.softcap,
    slidingWindow: draft.window,
    sinks: draft.sinks ? numbers(numHeads, seed + 5) : null,
    alibiSlopes: draft.alibi ? numbers(numHeads, seed + 6).map((x) => Math.abs(x) / 64) : null,
    rotary: draft.rotates ? rotaryOf(headSize) : null,
  };
}

function rotaryOf(dim: number): RotaryEmbedding {
  const table = (f: (x: number) => number): Float32Array =>
    Float32Array.from({ length: (2700 * dim) / 2 }, (_, i) =>
      f(Math.floor((2 * i) / dim) / 100 ** ((i % (dim / 2)) / (dim / 2))),
    );
  return { dim, interleaved: false, cos: table(Math.cos), sin: table(Math.sin) };
}

/** The step of some of the sequences. */
export function stepOf(sequences: readonly SharingSequence[]): AttentionBatch {
  const queryStarts = new Int32Array(sequences.length + 1);
  for (const [s, { queries }] of sequences.entries()) queryStarts[s + 1] = queryStarts[s] + queries;
  return {
    numSequences: sequences.length,
    queryStarts,
    contextLengths: Int32Array.from(sequences, ({ context }) => context),
    blockTables: [joinTables(sequences.map(({ table }) => table))],
    lastSeen: Int32Array.from(sequences.flatMap(({ lastSeen }) => lastSeen)),
  };
}

/** Stores all contexts: numbers that depend on the block and the slot alone. */
export function storeContexts(
  attention: PagedAttention,
  { config, sequences }: SharedContexts,
): void {
  const [{ numKvHeads, headSize }] = config.layers;
  const width = numKvHeads * headSize;
  for (const sequence of sequences) {
    const { table, context } = sequence;
    attention.beginStep(stepOf([{ ...sequence, queries: context, lastSeen: [] }]));
    const rows = (salt: number): Float32Array => {
      const all = new Float32Array(table.length * config.blockSize * width);
      for (const [i, block] of table.entries()) {
        const size = config.blockSize * width;
        all.set(numbers(size, 2 * block + salt), i * size);
      }
      return all.subarray(0, context * width);
    };
    attention.store(0, rows(10_000), rows(20_001));
  }
}

/**
 * Outputs of some of the sequences, in one step. A query depends on the sequence's table and on its
 * position alone.
 */
export function attendTo(
  attention: PagedAttention,
  { layers: [{ numHeads, headSize }] }: PagedAttentionConfig,
  sequences: readonly SharingSequence[],
): Float32Array[] {
  const width = numHeads * headSize;
  const batch = stepOf(sequences);
  const query = new Float32Array(batch.queryStarts[sequences.length] * width);
  for (const [s, { table, context, queries }] of sequences.entries()) {
    for (let i = 0; i < queries; i++) {
      const seed = 10_000 * table[table.length - 1] + context - queries + i;
      query.set(numbers(width, seed), (batch.queryStarts[s] + i) * width);
    }
  }
  const output = new Float32Array(query.length).fill(Number.NaN);
  attention.beginStep(batch);
  attention.attend(0, query, output);
  return sequences.map((_, s) =>
    output.slice(batch.queryStarts[s] * width, batch.queryStarts[s + 1] * width),
  );
}
