import type { AttentionShape } from '../engine/attention/paged-attention.js';
import { planCache } from '../engine/recurrent/cache-plan.js';
import { EVICTION_POLICIES } from '../kvcache/eviction/create-eviction.js';
import { replayHybrid } from './eviction/replay-hybrid.js';
import { BLOCK_SIZE } from './eviction/trace.js';
import { agents, chat, documents, systemPrompts } from './eviction/traces.js';
import { type Cell, publish } from './lib/report.js';

// How checkpoints of states and K and V share one budget: traces without a model, on the real cache
// of models whose layers keep a state, by eviction policy.

const SEEDS = [1, 2];
const TRACES = [chat, agents, systemPrompts, documents];
const MIB = 2 ** 20;
/** Of the K and V of a trace's different blocks. */
const SIZES = [0.1, 0.3];
/** Four requests of the longest prompts, with their states, must have room. */
const LEAST_BLOCKS = 4500;

function attention(count: number, numKvHeads: number, headSize: number): AttentionShape[] {
  return Array.from({ length: count }, () => ({
    numHeads: numKvHeads,
    numKvHeads,
    headSize,
    scale: 1,
    softcap: 0,
    slidingWindow: 0,
    sinks: null,
    alibiSlopes: null,
    rotary: null,
  }));
}

const states = (count: number, floats: number) =>
  Array.from({ length: count }, () => ({ stateBytes: 4 * floats }));

const plan = (layers: readonly AttentionShape[], recurrent: ReturnType<typeof states>) =>
  planCache(
    layers,
    { blockSize: BLOCK_SIZE, kvDtype: 'f32', maxModelLength: 16_384, maxNumBatchedTokens: 512 },
    recurrent,
  );

/** Small states, those of short convolutions, and large ones, of gated DeltaNet. */
const MODELS = [
  ['LFM2 350M', plan(attention(6, 8, 64), states(10, 2 * 1024))],
  ['Qwen 3.5 0.8B', plan(attention(6, 2, 256), states(18, 16 * 128 * 128 + 3 * 6144))],
] as const;

const percent = (share: number): number => 100 * share;

const hits: Cell[][] = [];
const saved: Cell[][] = [];
for (const seed of SEEDS) {
  for (const make of TRACES) {
    const trace = make(seed);
    for (const [model, { groups, bytesPerBlock }] of MODELS) {
      process.stderr.write(`${trace.name}, seed ${seed}, ${model}\n`);
      for (const size of SIZES) {
        const numBlocks = Math.max(LEAST_BLOCKS, Math.round(trace.contents * size));
        const scores = EVICTION_POLICIES.map((policy) =>
          replayHybrid(trace, groups, numBlocks, policy),
        );
        const head = [trace.name, seed, model, Math.round((numBlocks * bytesPerBlock) / MIB)];
        hits.push([...head, ...scores.map(({ hitRate }) => percent(hitRate))]);
        saved.push([...head, ...scores.map((score) => percent(score.saved))]);
      }
    }
  }
}

const columns = ['trace', 'seed', 'model', 'MiB', ...EVICTION_POLICIES];
publish({
  name: 'eviction-hybrids',
  command: 'npm run bench:eviction-hybrids',
  about:
    'Replays of the traces of bench:eviction on the cache of hybrids, without a model: K and V in float32 in blocks of 16 tokens, states in blocks of the same pool, ' +
    `steps of 512 tokens of a prompt, 4 sequences at a time, caches of ${SIZES.map(percent).join(' and ')} % of the K and V of a trace's different blocks, at least ${LEAST_BLOCKS} blocks. Nothing is timed.`,
  tables: [
    {
      title: 'Memory of checkpoints',
      columns: ['model', 'KiB of a checkpoint', 'of a block of K and V', 'blocks of a checkpoint'],
      rows: MODELS.map(([model, { states: placed, bytesPerBlock }]) => [
        model,
        placed.bytesPerCheckpoint / 1024,
        bytesPerBlock / 1024,
        placed.groups.length,
      ]),
    },
    { title: 'Token hit rate, %', columns, rows: hits },
    { title: 'Computation of prompts saved, %', columns, rows: saved },
  ],
});
