import { setFlagsFromString } from 'node:v8';
import { uniform } from '../../sampling/random.js';
import { fullLayout } from '../page-layout.js';
import {
  type AttentionBatch,
  type AttentionShape,
  joinTables,
  type KvDtype,
  plainAttention,
} from '../paged-attention.js';
import { KernelPages, MAX_PAGE_BYTES } from './kernel-pages.js';
import { compileKernel, kernelBytes } from './module.js';

// V8 can join two 128-bit vector operations of a WebAssembly function into one of 256 bits
// (`--experimental-wasm-revectorize`). It is an experiment of V8's, so the kernel takes it only
// after its results have been compared with those of the same code without it. A function is
// compiled with the flags of the moment in which it becomes hot: here, while the comparison runs
// and every function counts as hot at its first call. So what was compared is what runs later, and
// no other code of the process is compiled so. V8 keeps the code by the module's bytes; a custom
// section tells both modules apart.

/** Versions of Node in which the tests of the attention have passed with it. */
const MAJORS = new Set([24, 26]);

/** Formats that gain: integers are multiplied by instructions that V8 does not join. */
const FLOATS: ReadonlySet<KvDtype> = new Set(['f32', 'bf16']);

const WIDE_FLAGS = [
  ['--experimental-wasm-revectorize', '--no-experimental-wasm-revectorize'],
  ['--wasm-sync-tier-up', '--no-wasm-sync-tier-up'],
] as const;
/** How often a function may run before it is compiled with optimizations; V8's default. */
const BUDGET = '--wasm-tiering-budget';
const DEFAULT_BUDGET = 13_000_000;

/** Whether this Node can compile for vectors of 256 bits; V8 itself asks the processor. */
export function knowsWideVectors(): boolean {
  return process.arch === 'x64' && MAJORS.has(Number(process.versions.node.split('.')[0]));
}

/** By format of the pages, of this thread. */
const checked = new Map<KvDtype, WebAssembly.Module>();

/**
 * The kernel for pages of a format: compiled for vectors of 256 bits where this Node knows them and
 * the results are the same to the last bit, else as usual. Each format is checked once.
 */
export function compileAttention(kvDtype: KvDtype): WebAssembly.Module {
  if (!knowsWideVectors() || !FLOATS.has(kvDtype)) return compileKernel();
  const known = checked.get(kvDtype);
  if (known) return known;
  const plain = compileKernel();
  const module = compileWide(kvDtype, outputsOf(plain, kvDtype)) ?? plain;
  checked.set(kvDtype, module);
  return module;
}

/**
 * The kernel compiled for vectors of 256 bits.
 *
 * @param expected of `outputsOf`
 * @returns null where it traps, or computes something else
 */
export function compileWide(
  kvDtype: KvDtype,
  expected: readonly Float32Array[],
): WebAssembly.Module | null {
  for (const [on] of WIDE_FLAGS) setFlagsFromString(on);
  setFlagsFromString(`${BUDGET}=1`);
  try {
    const wide = new WebAssembly.Module(withSection(kernelBytes(), `wide ${kvDtype}`));
    const outputs = outputsOf(wide, kvDtype);
    return outputs.every((output, i) => isSame(output, expected[i])) ? wide : null;
  } catch {
    return null;
  } finally {
    for (const [, off] of WIDE_FLAGS) setFlagsFromString(off);
    setFlagsFromString(`${BUDGET}=${DEFAULT_BUDGET}`);
  }
}

/** A custom section at the end, which means nothing: WebAssembly, Binary Format, 5.5.3. */
function withSection(bytes: Uint8Array, name: string): Uint8Array<ArrayBuffer> {
  const section = [0, name.length + 1, name.length, ...Buffer.from(name)];
  const joined = new Uint8Array(bytes.length + section.length);
  joined.set(bytes);
  joined.set(section, bytes.length);
  return joined;
}

/** Positions of the check: two sequences, their prompts, and then a token of each. */
const PROMPTS = [70, 33];
const BLOCK_SIZE = 16;
const BLOCKS_OF_EACH = 5;

/** What every path of the kernel computes: prompts and single tokens, plain layers and others. */
export function outputsOf(module: WebAssembly.Module, kvDtype: KvDtype): Float32Array[] {
  const layers = checkedLayers();
  const config = {
    layers,
    numBlocks: PROMPTS.length * BLOCKS_OF_EACH,
    blockSize: BLOCK_SIZE,
    kvDtype,
    threads: 1,
  };
  const [memory] = new KernelPages(module, config, fullLayout(layers), MAX_PAGE_BYTES).memories;
  const steps = [batchOf(PROMPTS, 0), batchOf([1, 1], 1)];
  const noise = Float32Array.from({ length: 2 ** 15 }, (_, i) => uniform(1, i) - 0.5);
  return steps.flatMap((batch) =>
    layers.map((shape, layer) => {
      const tokens = batch.queryStarts[batch.numSequences];
      const numbers = (heads: number, seed: number): Float32Array =>
        noise.subarray(seed, seed + tokens * heads * shape.headSize);
      memory.store(layer, batch, numbers(shape.numKvHeads, 1), numbers(shape.numKvHeads, 2));
      const query = numbers(shape.numHeads, 3);
      const inputs = memory.load(layer, batch, query);
      const { output, layerHeader, stepHeader } = memory.prepare(layer, batch, inputs, null);
      memory.kernel.attendTasks(layerHeader, stepHeader, memory.scratch(0));
      return memory.arena.floats(output, query.length).slice();
    }),
  );
}

function checkedLayers(): AttentionShape[] {
  const plain = plainAttention(4, 2, 64);
  const positions = BLOCKS_OF_EACH * BLOCK_SIZE;
  const table = (of: (angle: number) => number): Float32Array =>
    Float32Array.from({ length: positions * 32 }, (_, i) =>
      of(Math.floor(i / 32) / (1 + (i % 32))),
    );
  const rotary = { dim: 64, cos: table(Math.cos), sin: table(Math.sin) };
  return [
    { ...plain, rotary: { ...rotary, interleaved: false } },
    { ...plain, rotary: { ...rotary, interleaved: true }, slidingWindow: 20, softcap: 5 },
    {
      ...plain,
      sinks: Float32Array.of(0, 1, 2, 3),
      alibiSlopes: Float32Array.of(1, 0.5, 0.2, 0.1),
    },
  ];
}

function batchOf(lengths: readonly number[], step: number): AttentionBatch {
  const tables = lengths.map((_, s) =>
    Array.from({ length: BLOCKS_OF_EACH }, (__, i) => s * BLOCKS_OF_EACH + i),
  );
  return {
    numSequences: lengths.length,
    queryStarts: Int32Array.of(0, lengths[0], lengths[0] + lengths[1]),
    contextLengths: Int32Array.from(PROMPTS, (length) => length + step),
    blockTables: [joinTables(tables)],
  };
}

const isSame = (a: Float32Array, b: Float32Array): boolean =>
  Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(
    Buffer.from(b.buffer, b.byteOffset, b.byteLength),
  );
