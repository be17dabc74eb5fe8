import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noise } from '../engine/noise.js';
import type { LoadedEngine } from '../engine/thread/load-engine.js';
import {
  type BenchModel,
  benchModelFromArgv,
  benchRequest,
  loadBenchEngine,
} from './lib/bench-engine.js';
import { type Cell, commandLine, median, publish } from './lib/report.js';
import { SHAPES } from './models/shapes.js';

// What adapters cost in a decode step: an engine without any, and one that is prepared for them,
// with requests for the model alone, for one adapter, and for several. Rounds take turns.

const RANK = 16;
const ADAPTERS = 4;
const BATCHES = [1, 8, 32];
const PROMPT = 64;
const STEPS = 12;
const ROUNDS = 3;

/** The linear layers of a decoder: inputs and outputs of each. */
function linearLayers({ shape }: BenchModel): [module: string, inputs: number, outputs: number][] {
  const { layers, hidden, heads, kvHeads, headSize, mlp } = SHAPES[shape];
  const [query, key] = [heads * headSize, kvHeads * headSize];
  const sizes = {
    'self_attn.q_proj': [hidden, query],
    'self_attn.k_proj': [hidden, key],
    'self_attn.v_proj': [hidden, key],
    'self_attn.o_proj': [query, hidden],
    'mlp.gate_proj': [hidden, mlp],
    'mlp.up_proj': [hidden, mlp],
    'mlp.down_proj': [mlp, hidden],
  };
  return Array.from({ length: layers }, (_, layer) =>
    Object.entries(sizes).map(([name, [inputs, outputs]]) => {
      return [`model.layers.${layer}.${name}`, inputs, outputs] as [string, number, number];
    }),
  ).flat();
}

function writeAdapter(directory: string, model: BenchModel, seed: number): void {
  const next = noise(seed);
  const header: Record<string, object> = {};
  const parts: Uint8Array[] = [];
  let end = 0;
  const add = (name: string, shape: readonly [number, number]): void => {
    const values = Float32Array.from({ length: shape[0] * shape[1] }, () => next() * 0.01);
    header[name] = { dtype: 'F32', shape, data_offsets: [end, end + values.byteLength] };
    parts.push(new Uint8Array(values.buffer));
    end += values.byteLength;
  };
  for (const [module, inputs, outputs] of linearLayers(model)) {
    add(`base_model.model.${module}.lora_A.weight`, [RANK, inputs]);
    add(`base_model.model.${module}.lora_B.weight`, [outputs, RANK]);
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(
    join(directory, 'adapter_model.safetensors'),
    Buffer.concat([length, text, ...parts]),
  );
  const config = { peft_type: 'LORA', r: RANK, lora_alpha: RANK };
  writeFileSync(join(directory, 'adapter_config.json'), JSON.stringify(config));
}

/** Median milliseconds of a step in which all decode. @param adapters taken in turn; null: none */
async function decode(
  { core }: LoadedEngine,
  model: BenchModel,
  batch: number,
  adapters: readonly (string | null)[],
): Promise<number> {
  for (let i = 0; i < batch; i++) {
    const request = benchRequest(model, PROMPT, STEPS + Math.ceil((batch * PROMPT) / 512) + 1);
    core.add({ ...request, adapter: adapters[i % adapters.length] });
  }
  const times: number[] = [];
  while (core.hasWork) {
    const outputs = (await core.step()) ?? [];
    if (outputs.length === batch && core.report?.numTokens === batch)
      times.push(core.timings.total);
  }
  return median(times);
}

const model = benchModelFromArgv();
const directories = Array.from({ length: ADAPTERS }, () =>
  mkdtempSync(join(tmpdir(), 'octavo-bench-')),
);
directories.forEach((directory, i) => writeAdapter(directory, model, i));
const names = directories.map((_, i) => `adapter-${i}`);
const sources = directories.map((directory, i) => ({ name: names[i], directory }));
const small = { kvCacheBytes: 2 ** 30, enablePrefixCaching: false };
const memory = (): number => process.memoryUsage.rss() / 2 ** 20;
const before = memory();
const plain = await loadBenchEngine(model, small);
const plainMemory = memory() - before;
const lora = { adapters: sources, maxLoras: ADAPTERS, maxRank: RANK };
const prepared = await loadBenchEngine(model, { ...small, lora });
const preparedMemory = memory() - before - plainMemory;
const bytes = (prepared.core.adapters ?? []).reduce((sum, info) => sum + info.bytes, 0);

const kinds: readonly (readonly [LoadedEngine, readonly (string | null)[]])[] = [
  [plain, [null]],
  [prepared, [null]],
  [prepared, names.slice(0, 1)],
  [prepared, names],
  [prepared, [null, ...names.slice(1)]],
];
const rows: Cell[][] = [];
for (const batch of BATCHES) {
  // One sequence has one adapter.
  const shown = kinds.filter(([, adapters]) => adapters.length <= batch);
  const times = shown.map((): number[] => []);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, [engine, adapters]] of shown.entries()) {
      times[i].push(await decode(engine, model, batch, adapters));
    }
  }
  const best = times.map((all) => Math.min(...all));
  const ratios = best.slice(1).map((ms) => `${(ms / best[0]).toFixed(2)} x`);
  const missing = Array.from({ length: kinds.length - shown.length }, () => '');
  rows.push([batch, ...best, ...missing, ...ratios, ...missing]);
}
await plain.runner.dispose();
await prepared.runner.dispose();
for (const directory of directories) rmSync(directory, { recursive: true, force: true });

const columns = [
  'base',
  '1 adapter',
  `${ADAPTERS} adapters in one batch`,
  `base and ${ADAPTERS - 1} in one batch`,
];
publish({
  name: ['adapters', model.shape, ...model.variant].join('-'),
  command: commandLine('bench:adapters'),
  about:
    `LoRA adapters of rank ${RANK} for all linear layers, ${model.description}. Milliseconds of a decode step, ` +
    `the least of ${ROUNDS} medians; ratios to an engine without adapters.`,
  tables: [
    {
      title: 'Decode steps',
      columns: [
        'sequences',
        'no adapters loaded, ms',
        ...columns.map((name) => `${name}, ms`),
        ...columns.map((name) => `${name}: ratio`),
      ],
      rows,
    },
    {
      title: 'Memory',
      columns: ['', 'MiB'],
      rows: [
        ['process grows by an engine without adapters', plainMemory],
        [`by one with ${ADAPTERS}`, preparedMemory],
        ['of these the adapters', bytes / 2 ** 20],
      ],
    },
  ],
});
