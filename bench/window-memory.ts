import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { KernelAttention } from '../engine/attention/kernel-attention.js';
import {
  bytesPerBlock,
  fullLayout,
  type PageLayout,
  planPages,
} from '../engine/attention/page-layout.js';
import type { AttentionShape } from '../engine/attention/paged-attention.js';
import { PLAIN_REQUEST } from '../engine/protocol/request.js';
import { buildStepBatch } from '../engine/runner/step-batch.js';
import { GREEDY } from '../engine/sampling/sampling-params.js';
import { loadEngine } from '../engine/thread/load-engine.js';
import { BlockHistory } from '../kvcache/block-history.js';
import { maxHeldBlocks } from '../kvcache/cache-group.js';
import { KvCacheManager } from '../kvcache/kv-cache-manager.js';
import type { SequenceId, TokenId } from '../scheduler/ids.js';
import { Scheduler } from '../scheduler/scheduler.js';
import { type Cell, publish } from './lib/report.js';

// What one long sequence holds of the KV cache when layers have sliding windows: with the layers in
// groups by their windows, and with all layers keeping all of their past.

const TOKENS = 8192;
const STEP = 512;
const BLOCK_SIZE = 16;
const MIB = 2 ** 20;

interface Shape {
  readonly name: string;
  readonly layers: readonly AttentionShape[];
}

function layer(numKvHeads: number, headSize: number, slidingWindow: number): AttentionShape {
  return {
    numHeads: numKvHeads,
    numKvHeads,
    headSize,
    scale: 1,
    softcap: 0,
    slidingWindow,
    sinks: null,
    alibiSlopes: null,
    rotary: null,
  };
}

/** `windows` layers with a window before each one with full attention. */
function shape(
  name: string,
  [numLayers, windows, window]: readonly [number, number, number],
  [kvHeads, headSize]: readonly [number, number],
): Shape {
  const layers = Array.from({ length: numLayers }, (_, i) =>
    layer(kvHeads, headSize, i % (windows + 1) === windows ? 0 : window),
  );
  return { name, layers };
}

const SHAPES: readonly Shape[] = [
  shape('Gemma 3 1B: 22 windows of 512, 4 full', [26, 5, 512], [1, 256]),
  shape('gpt-oss 20B: 12 windows of 128, 12 full', [24, 1, 128], [8, 64]),
  shape('Mistral 7B v0.1: 32 windows of 4,096', [32, 32, 4096], [8, 128]),
];

interface Held {
  /** Bytes of the blocks in use, at most. */
  readonly blocks: number;
  /** Growth of the process' resident memory: pages are committed when they are first written. */
  readonly resident: number;
  /** What `maxHeldBlocks` says, in bytes. */
  readonly theory: number;
}

/** Stores K and V of all layers of one prompt, step by step, in the kernel's pages. */
async function store(layers: readonly AttentionShape[], layout: PageLayout): Promise<Held> {
  const blockBytes = bytesPerBlock(layers, layout, BLOCK_SIZE, 'bf16');
  const most = layout.groups.reduce(
    (sum, group) => sum + maxHeldBlocks(group, TOKENS, STEP, BLOCK_SIZE),
    0,
  );
  const sizes = { numBlocks: most, blockSize: BLOCK_SIZE };
  const now = (): number => performance.now();
  const history = new BlockHistory({ ...sizes, sampleRate: 0, now, random: Math.random });
  const { groups } = layout;
  const cache = new KvCacheManager({ ...sizes, groups, enablePrefixCaching: false, history });
  const scheduler = new Scheduler(
    {
      policy: 'fcfs',
      maxNumSeqs: 1,
      maxNumBatchedTokens: STEP,
      longPrefillThreshold: 0,
      maxModelLength: TOKENS,
      switchLengths: [],
      modelFingerprint: '',
    },
    cache,
  );
  scheduler.add({
    ids: ['long' as SequenceId],
    promptTokenIds: Array.from({ length: TOKENS }, (_, i) => i as TokenId),
    maxTokens: 0,
    stopTokenIds: [],
    priority: 0,
    arrivalTime: 0,
    cacheSalt: null,
    computesWholePrompt: true,
  });
  const [{ numKvHeads, headSize }] = layers;
  const rows = new Float32Array(STEP * numKvHeads * headSize).fill(0.5);
  const attention = new KernelAttention({ layers, layout, ...sizes, kvDtype: 'bf16', threads: 1 });
  const before = process.memoryUsage.rss();
  let blocks = 0;
  for (let plan = scheduler.schedule(); plan; plan = scheduler.schedule()) {
    blocks = Math.max(blocks, cache.pool.numUsed);
    attention.beginStep(buildStepBatch(plan).attention);
    for (const index of layers.keys()) attention.store(index, rows, rows);
    scheduler.apply(plan, []);
  }
  const resident = process.memoryUsage.rss() - before;
  await attention.dispose();
  return { blocks: blocks * blockBytes, resident, theory: most * blockBytes };
}

const percent = (part: number, whole: number): string => `${Math.round((100 * part) / whole)} %`;
const mib = (bytes: number): string => `${Math.round(bytes / MIB)}`;

/** `store` in a process of its own, whose memory nothing else has grown or freed. */
function storeApart(index: number, layout: 'all' | 'groups'): Held {
  const args = [...process.execArgv, fileURLToPath(import.meta.url), 'store', `${index}`, layout];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as Held;
}

function storedRow(index: number): Cell[] {
  const all = storeApart(index, 'all');
  const grouped = storeApart(index, 'groups');
  return [
    SHAPES[index].name,
    mib(all.blocks),
    mib(grouped.blocks),
    percent(grouped.theory, all.theory),
    percent(grouped.blocks, all.blocks),
    mib(all.resident),
    mib(grouped.resident),
    percent(grouped.resident, all.resident),
  ];
}

/** Bytes of blocks that one request of an exported model holds at most, run by the engine. */
async function generate(family: string, stepTokens: number): Promise<[used: number, most: number]> {
  const modelDir = fileURLToPath(
    new URL(`../test/fixtures/exports/models/genai/${family}`, import.meta.url),
  );
  const kvCacheBytes = MIB;
  const { core, cache, runner } = await loadEngine({
    modelDir,
    maxNumSeqs: 1,
    maxNumBatchedTokens: stepTokens,
    blockSize: 4,
    kvCacheBytes,
    kvDtype: 'f32',
    maxModelLength: null,
    threads: 1,
    enablePrefixCaching: false,
    evictionPolicy: 'lru',
    schedulingPolicy: 'fcfs',
    longPrefillThreshold: 16,
    kvMetricsSampleRate: 0,
  });
  core.add({
    ids: ['long' as SequenceId],
    promptTokenIds: Array.from({ length: 200 }, (_, i) => (3 + (i % 40)) as TokenId),
    maxTokens: 50,
    stopTokenIds: [],
    sampling: GREEDY,
    ...PLAIN_REQUEST,
  });
  let used = 0;
  while (core.hasWork) {
    await core.step();
    used = Math.max(used, cache.pool.numUsed);
  }
  await runner.dispose();
  const blockBytes = kvCacheBytes / cache.pool.numBlocks;
  return [used * blockBytes, cache.maxHeldBlocks(249, Math.min(stepTokens, 16)) * blockBytes];
}

async function generatedRow(family: string): Promise<Cell[]> {
  // With steps as long as the context no window is worth a group: all layers keep all of it.
  const [all] = await generate(family, 256);
  const [grouped, most] = await generate(family, 16);
  const kib = (bytes: number): string => `${Math.round(bytes / 1024)}`;
  return [family, kib(all), kib(grouped), percent(most, all), percent(grouped, all)];
}

async function main(): Promise<void> {
  const generated: Cell[][] = [];
  for (const family of ['gemma3', 'gemma2', 'gpt-oss', 'mistral']) {
    generated.push(await generatedRow(family));
  }
  publish({
    name: 'window-memory',
    command: 'npm run bench:window-memory',
    about:
      `What one sequence holds of the KV cache at most, with all layers keeping all of it, and with layers in groups by their windows. ` +
      `Theory is maxHeldBlocks; blocks are those in use in the pool; resident is what the process grew by while K and V were stored.`,
    tables: [
      {
        title: `${TOKENS} tokens in steps of ${STEP}, blocks of ${BLOCK_SIZE}, bf16: the scheduler and the kernel's pages, MiB`,
        columns: [
          'layers',
          'blocks: all keep all',
          'blocks: groups',
          'share, theory',
          'share, measured',
          'resident: all keep all',
          'resident: groups',
          'share, resident',
        ],
        rows: [...SHAPES.keys()].map(storedRow),
      },
      {
        title:
          'Exported models of the tests with windows of 24 tokens, 250 tokens in steps of 16, blocks of 4, f32: the whole engine, KiB',
        columns: ['model', 'all keep all', 'groups', 'share, theory', 'share, measured'],
        rows: generated,
      },
    ],
  });
}

const [mode, index, layoutName] = process.argv.slice(2);
if (mode === 'store') {
  const { layers } = SHAPES[Number(index)];
  const layout = layoutName === 'all' ? fullLayout(layers) : planPages(layers, TOKENS, STEP);
  process.stdout.write(JSON.stringify(await store(layers, layout)));
} else await main();
