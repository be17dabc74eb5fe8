import { Worker } from 'node:worker_threads';
import { Arena } from '../engine/attention/kernel/arena.js';
import { compileKernel, instantiateKernel } from '../engine/attention/kernel/module.js';
import { KV_DTYPES, type KvDtype } from '../engine/attention/paged-attention.js';
import { outputError } from './lib/attention-error.js';
import { LAYERS, type Load, timeSteps, workOf } from './lib/attention-load.js';
import { longSequences, sharedPrefixes } from './lib/attention-sharing.js';
import { type Cell, median, publish } from './lib/report.js';

// The attention kernel alone, against what the machine can do: a loop that only reads memory with
// the same vector loads, and the kernel's own rate when its pages stay in the cache. The roofline
// of a load is the larger of the two times.

const THREADS = 2;
const SIMULATED_THREADS = 16;
const READ_BYTES = 512 * 2 ** 20;

/**
 * GB/s that a plain loop of vector loads reads, with one thread or more, each over memory of its
 * own.
 */
async function readBandwidth(threads: number): Promise<number> {
  const source = `
    const { workerData, parentPort } = require('node:worker_threads');
    require('node:v8').setFlagsFromString('--experimental-wasm-relaxed-simd');
    const { module, memory, start, bytes, repeats, gate, threads } = workerData;
    const kernel = new WebAssembly.Instance(module, { env: { memory, abort() {} } }).exports;
    kernel.readMemory(start, bytes);
    Atomics.add(gate, 0, 1);
    while (Atomics.load(gate, 0) < threads) {}
    const begin = performance.now();
    for (let i = 0; i < repeats; i++) kernel.readMemory(start, bytes);
    parentPort.postMessage(performance.now() - begin);`;
  const module = compileKernel();
  const gate = new Int32Array(new SharedArrayBuffer(4));
  const repeats = 10;
  const times = await Promise.all(
    Array.from({ length: threads }, () => {
      const arena = new Arena();
      const start = arena.allocate(READ_BYTES);
      arena.ints(start, READ_BYTES / 4).fill(1);
      const workerData = {
        module,
        memory: arena.memory,
        start,
        bytes: READ_BYTES,
        repeats,
        gate,
        threads,
      };
      const worker = new Worker(source, { eval: true, workerData });
      return new Promise<number>((resolve, reject) => {
        worker.once('message', resolve);
        worker.once('error', reject);
      });
    }),
  );
  return (threads * repeats * READ_BYTES) / (Math.max(...times) / 1000) / 1e9;
}

interface Measured {
  readonly ms: number;
  readonly gflops: number;
  readonly gbs: number;
}

async function measure(load: Load): Promise<Measured> {
  const { flops, bytes } = workOf(load);
  const repeats = Math.max(5, Math.min(40, Math.round(2e10 / flops)));
  const ms = median(await timeSteps(load, repeats));
  return { ms, gflops: flops / ms / 1e6, gbs: bytes / ms / 1e6 };
}

// Keeps the whole program honest about what runs: the same module that the engine compiles.
instantiateKernel(compileKernel(), new Arena().memory);

const bandwidth = [await readBandwidth(1), await readBandwidth(THREADS)];

// In the cache: one layer's pages of one sequence of 128 tokens are 128 KiB of float32.
const inCache: Record<KvDtype, Measured[]> = { f32: [], bf16: [], int16: [], int8: [] };
for (const kvDtype of KV_DTYPES) {
  for (const threads of [1, THREADS]) {
    inCache[kvDtype].push(
      await measure({ kvDtype, batch: 1, context: 512, queries: 128, threads }),
    );
  }
}

const rows: Cell[][] = [];
for (const kvDtype of KV_DTYPES) {
  const peak = inCache[kvDtype][1].gflops;
  for (const [batch, context] of [
    [1, 128],
    [1, 512],
    [1, 2048],
    [1, 8192],
    [8, 512],
    [8, 2048],
    [32, 512],
    [32, 2048],
    [64, 128],
    [64, 512],
  ] as const) {
    const load: Load = { kvDtype, batch, context, queries: 1, threads: THREADS };
    const { flops, bytes } = workOf(load);
    const { ms, gflops, gbs } = await measure(load);
    const roofline = Math.max(bytes / bandwidth[1] / 1e6, flops / peak / 1e6);
    rows.push([
      kvDtype,
      batch,
      context,
      ms,
      gflops / THREADS,
      gbs,
      roofline,
      `${Math.round((100 * roofline) / ms)} %`,
    ]);
  }
}

const prefill: Cell[][] = [];
for (const kvDtype of KV_DTYPES) {
  for (const tokens of [128, 512, 2048]) {
    const { ms, gflops } = await measure({
      kvDtype,
      batch: 1,
      context: tokens,
      queries: tokens,
      threads: THREADS,
    });
    prefill.push([kvDtype, tokens, ms, gflops / THREADS, (tokens / ms) * 1000]);
  }
}

const shared = await sharedPrefixes(THREADS);
const long = await longSequences(THREADS, SIMULATED_THREADS);

const errors: Cell[][] = [];
for (const kvDtype of KV_DTYPES) {
  const { rms, size, largest } = await outputError(kvDtype);
  errors.push([
    kvDtype,
    rms.toExponential(1),
    (rms / size).toExponential(1),
    largest.toExponential(1),
  ]);
}

publish({
  name: 'attention',
  command: 'npm run bench:attention',
  about:
    `The attention kernel alone, shape of Qwen2.5-0.5B (${LAYERS} layers, 14 query heads, 2 KV heads, head size 64), medians. ` +
    'Apart: each sequence reads the shared pages itself. Roofline: the larger of bytes over the measured read bandwidth and operations over the in-cache rate, all threads.',
  tables: [
    {
      title: 'What the machine reads (plain loop of vector loads)',
      columns: ['threads', 'GB/s'],
      rows: [
        [1, bandwidth[0]],
        [THREADS, bandwidth[1]],
      ],
    },
    {
      title: 'In the cache (128 queries over 512 tokens)',
      columns: ['format', 'threads', 'GFLOP/s', 'GFLOP/s a thread'],
      rows: KV_DTYPES.flatMap((kvDtype) =>
        inCache[kvDtype].map(({ gflops }, i) => [
          kvDtype,
          i === 0 ? 1 : THREADS,
          gflops,
          gflops / (i === 0 ? 1 : THREADS),
        ]),
      ),
    },
    {
      title: `Decode, ${THREADS} threads`,
      columns: [
        'format',
        'batch',
        'context',
        'ms a step',
        'GFLOP/s a thread',
        'GB/s',
        'roofline ms',
        'share of roofline',
      ],
      rows,
    },
    {
      title: `Prefill of one prompt, ${THREADS} threads`,
      columns: ['format', 'tokens', 'ms', 'GFLOP/s a thread', 'tokens/s of attention'],
      rows: prefill,
    },
    shared,
    long,
    {
      title:
        'Error of outputs against float64 over float32 pages (one prompt of 256 tokens, numbers in [-1, 1])',
      columns: ['format', 'root mean square', 'over that of the outputs', 'largest'],
      rows: errors,
    },
  ],
});
