import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EngineOptions, TierOptions } from '../engine/protocol/options.js';
import type { EngineRequest } from '../engine/protocol/request.js';
import type { LoadedEngine } from '../engine/thread/load-engine.js';
import type { SequenceId } from '../scheduler/ids.js';
import {
  benchModelFromArgv,
  benchRequest,
  loadBenchEngine,
  STEP_TOKENS,
} from './lib/bench-engine.js';
import { startRedis } from './lib/redis-server.js';
import { type Cell, commandLine, median, publish } from './lib/report.js';

// What the tiers behind the KV cache save, and what they cost: the time to the first token of a
// prefix from each of them, and the time of steps beside them; the same of KV events.

const PREFIX_TOKENS = 1024;
const ROUNDS = 3;
const MIB = 2 ** 20;
/** Pages for one long prompt and some steps, so that the next one takes their place. */
const SMALL = { kvCacheBytes: 32 * MIB, maxModelLength: 1200 };

const model = benchModelFromArgv();
const directory = mkdtempSync(join(tmpdir(), 'octavo-bench-kv-'));

const redis = await startRedis();
const MEMORY: TierOptions = { hostMemoryBytes: 512 * MIB };
const DISK: TierOptions = { ...MEMORY, disk: { directory, capacityBytes: 8 * 2 ** 30 } };
const REDIS: TierOptions = {
  ...MEMORY,
  redis: { url: redis.url, keyPrefix: 'bench', ttlSeconds: 3600, capacityBytes: 4 * 2 ** 30 },
};
const ALL: TierOptions = { ...DISK, ...REDIS };

const load = (tiers: TierOptions, more = {}): Promise<LoadedEngine> =>
  loadBenchEngine(model, { ...more, tiers });

async function close({ tiers, cache, runner }: LoadedEngine): Promise<void> {
  await tiers?.save(cache.pool);
  await tiers?.close();
  await runner.dispose();
}

/** Runs until nothing is left to do. @returns milliseconds, and the time of each step */
async function run({ core }: LoadedEngine, requests: readonly EngineRequest[]) {
  const steps: number[] = [];
  const start = performance.now();
  for (const request of requests) core.add(request);
  while (core.hasWork) {
    const ready = core.whenReady();
    const begin = performance.now();
    const outputs = await core.step();
    // As the engine's thread does when events are on: they cross to the main thread, which sends.
    structuredClone(core.takeCacheEvents());
    if (outputs) steps.push(performance.now() - begin);
    else await ready;
  }
  return { ms: performance.now() - start, steps };
}

/** The same prompt in every engine. */
const prefix = (n: number): EngineRequest => benchRequest(model, PREFIX_TOKENS, 1, 500_009 + n);

async function firstToken(engine: LoadedEngine, n: number): Promise<number> {
  const request = { ...prefix(n), ids: [`p${performance.now()}` as SequenceId] };
  return (await run(engine, [request])).ms;
}

const numbers = Array.from({ length: ROUNDS }, (_, n) => n);

/** Fills a tier with all prefixes, by an engine of its own. */
async function fill(tiers: TierOptions): Promise<void> {
  const engine = await load(tiers, { kvCacheBytes: 512 * MIB, maxModelLength: 1200 });
  for (const n of numbers) {
    // The second time it is found in the pages, and worth a place in Redis.
    for (let time = 0; time < 2; time++) await firstToken(engine, n);
    for (let step = 0; step < 8; step++) await engine.tiers?.settle();
  }
  await close(engine);
}

async function timesToFirstToken(): Promise<Cell[][]> {
  const engine = await load(MEMORY, SMALL);
  await run(engine, [benchRequest(model, 64, 8)]);
  const computed: number[] = [];
  for (const n of numbers) computed.push(await firstToken(engine, n));
  const memory: number[] = [];
  // The pages hold the last one only.
  for (const n of numbers) memory.push(await firstToken(engine, n));
  await close(engine);
  const rows: [string, number][] = [
    ['computed', median(computed)],
    ['host memory', median(memory)],
  ];
  for (const [name, tiers] of [
    ['disk (after a restart; the files are in the page cache)', DISK],
    ['Redis (another server has written it)', REDIS],
  ] as const) {
    await fill(tiers);
    const next = await load(tiers, SMALL);
    await run(next, [benchRequest(model, 64, 8)]);
    const times: number[] = [];
    for (const n of numbers) times.push(await firstToken(next, n));
    rows.push([name, median(times)]);
    await close(next);
  }
  return rows.map(([name, ms]) => [name, ms, `${((100 * ms) / rows[0][1]).toFixed(1)} %`]);
}

/** Median of a decode step of 8 sequences of 512 tokens. */
async function decodeStep(more: Partial<EngineOptions>): Promise<number> {
  const engine = await loadBenchEngine(model, more);
  await run(engine, [benchRequest(model, 64, 8)]);
  const prefills = Math.ceil((8 * 512) / STEP_TOKENS);
  const requests = Array.from({ length: 8 }, () => benchRequest(model, 512, prefills + 60));
  const { steps } = await run(engine, requests);
  await close(engine);
  return median(steps.slice(prefills + 2, -10));
}

/** Of loads of prompts: no two share a prompt, which a tier would have. */
let numLoads = 0;

/** Milliseconds of a load whose every prompt takes the pages of an earlier one. */
async function loadOfPrompts(more: Partial<EngineOptions>): Promise<number> {
  const sizes = { kvCacheBytes: 64 * MIB, maxModelLength: 1200 };
  const engine = await loadBenchEngine(model, { ...sizes, ...more });
  await run(engine, [benchRequest(model, 64, 8)]);
  const seed = 700_001 + 16 * numLoads++;
  const requests = Array.from({ length: 16 }, (_, n) => benchRequest(model, 512, 24, seed + n));
  const { ms } = await run(engine, requests);
  await close(engine);
  return ms;
}

/** Without anything, with tiers, and with KV events, in turn. */
async function compare(
  measure: (more: Partial<EngineOptions>) => Promise<number>,
): Promise<Cell[]> {
  const rounds: number[][] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const times: number[] = [];
    for (const more of [{}, { tiers: ALL }, { cacheEvents: true }]) times.push(await measure(more));
    rounds.push(times);
  }
  const more = (setup: number): string => {
    const ratio = median(rounds.map((times) => times[setup] / times[0]));
    return `${(100 * (ratio - 1)).toFixed(1)} %`;
  };
  const [without, tiers, events] = [0, 1, 2].map((i) => median(rounds.map((times) => times[i])));
  return [without, tiers, more(1), events, more(2)];
}

try {
  const first = await timesToFirstToken();
  const idle = await compare(decodeStep);
  const busy = await compare(loadOfPrompts);
  publish({
    name: ['tiers', model.shape, ...model.variant].join('-'),
    command: commandLine('bench:tiers'),
    about: `Tiers behind the KV cache: ${model.description}; medians of ${ROUNDS}, milliseconds. Disk and Redis are on the same machine.`,
    tables: [
      {
        title: `Time to the first token of a prefix of ${PREFIX_TOKENS} tokens`,
        columns: ['from', 'ms', 'of computing it'],
        rows: first,
      },
      {
        title: 'What tiers (memory, disk and Redis together) and KV events cost (in turn)',
        columns: ['what', 'without', 'with tiers', 'difference', 'with events', 'difference'],
        rows: [
          ['a decode step of 8 sequences of 512 tokens; tiers idle', ...idle],
          ['16 prompts of 512 tokens that evict each other; all is written behind', ...busy],
        ],
      },
    ],
  });
} finally {
  await redis.kill();
  rmSync(directory, { recursive: true, force: true });
}
