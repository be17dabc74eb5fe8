import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { QuantizedKind } from '../engine/importer/quantize/quantization.js';
import { openModel } from '../engine/model/open-model.js';
import { type Cell, publish } from './lib/report.js';
import { ensureModel } from './models/decoder.js';
import { ensureCheckpoint } from './models/random-checkpoint.js';
import { configOf, SHAPES } from './models/shapes.js';

// What `--quantize` costs at the first start of a model: time, memory and disk of rewriting its
// weights, each in a process of its own with an empty cache. The files of weights have been read
// before, as after a download.

const LIMIT_GB = 1.5;
const LIMIT_SECONDS_PER_GB = 60;

/** Of weights in bfloat16, rewritten as w8a8: their bytes a second. */
const LEAST_MB = 150;

interface Outcome {
  readonly seconds: number;
  /** Of all processors. */
  readonly busy: number;
  /** Bytes. */
  readonly before: number;
  readonly peak: number;
}

interface Conversion {
  readonly name: string;
  readonly directory: string;
  /** Files of weights begin with it. */
  readonly file: string;
  /** Absent: weights of 16 bits are widened. */
  readonly kind?: QuantizedKind;
  readonly nbits: boolean;
}

/** Peak memory of this process, in bytes. */
function peakMemory(): number {
  return 1024 * process.resourceUsage().maxRSS;
}

async function convert(conversion: Conversion, cacheDir: string): Promise<Outcome> {
  const { directory, file, kind, nbits } = conversion;
  const before = peakMemory();
  const start = performance.now();
  const used = process.cpuUsage();
  await openModel({
    modelDir: directory,
    ...(file.endsWith('.safetensors') ? {} : { dtype: nbits ? 'q4' : 'fp32' }),
    ...(kind ? { quantize: { kind, nbits, cacheDir } } : { widen: { cacheDir } }),
  });
  const { user, system } = process.cpuUsage(used);
  const seconds = (performance.now() - start) / 1000;
  return { seconds, busy: (user + system) / 1e6, before, peak: peakMemory() };
}

function inChild(conversion: Conversion): Outcome & { readonly disk: number } {
  const cacheDir = mkdtempSync(join(tmpdir(), 'octavo-bench-convert-'));
  try {
    const script = fileURLToPath(import.meta.url);
    const job = JSON.stringify({ conversion, cacheDir });
    const output = execFileSync(process.execPath, ['--import', 'tsx', script, job], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const disk = readdirSync(cacheDir, { recursive: true, encoding: 'utf8' })
      .map((name) => statSync(join(cacheDir, name)))
      .reduce((sum, entry) => sum + (entry.isFile() ? entry.size : 0), 0);
    return { ...(JSON.parse(output) as Outcome), disk };
  } finally {
    rmSync(cacheDir, { recursive: true });
  }
}

/** Bytes of a model's weights. */
function sizeOf({ directory, file }: Conversion): number {
  const folder = file.endsWith('.safetensors') ? directory : join(directory, 'onnx');
  return readdirSync(folder)
    .filter((name) => name === file || name.startsWith(`${file}_data`))
    .reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
}

/** @param floats bytes of the same weights as float32 */
function rowOf(conversion: Conversion, floats: number): Cell[] {
  const { seconds, busy, before, peak, disk } = inChild(conversion);
  const perGb = seconds / (floats / 1e9);
  const above = (peak - before) / 1e9;
  const size = sizeOf(conversion);
  const megabytes = size / 1e6 / seconds;
  if (perGb > LIMIT_SECONDS_PER_GB || above > LIMIT_GB) process.exitCode = 1;
  const { name, directory, kind } = conversion;
  if (directory === checkpoint() && kind === 'w8a8' && megabytes < LEAST_MB) process.exitCode = 1;
  return [name, size / 1e9, seconds, busy, megabytes, above, disk / 1e9];
}

/** The same shape as a checkpoint of bfloat16. */
function checkpoint(): string {
  const shape = SHAPES[SHAPE];
  const config = {
    architectures: ['Qwen2ForCausalLM'],
    model_type: 'qwen2',
    ...configOf(shape),
    tie_word_embeddings: true,
  };
  return ensureCheckpoint(`${SHAPE}-bf16`, config, 'BF16');
}

const SHAPE = 'qwen2.5-0.5b';

const [job] = process.argv.slice(2);
if (job) {
  const { conversion, cacheDir } = JSON.parse(job) as { conversion: Conversion; cacheDir: string };
  process.stdout.write(JSON.stringify(await convert(conversion, cacheDir)));
} else {
  const directory = ensureModel(SHAPE, { precision: 'fp32', keepsLogits: false });
  ensureModel(SHAPE, { precision: 'q4', keepsLogits: false });
  const onnx = (name: string, file: string, nbits = false): Conversion => {
    return { name, directory, file, kind: 'w8a8', nbits };
  };
  const float32 = onnx('ONNX, float32: w8a8', 'model.onnx');
  const floats = sizeOf(float32);
  const halves = (to: string, kind?: QuantizedKind): Conversion => {
    const source = { directory: checkpoint(), file: 'model.safetensors', nbits: false };
    return { name: `safetensors, bfloat16: ${to}`, ...source, ...(kind && { kind }) };
  };
  const conversions: readonly Conversion[] = [
    float32,
    onnx('ONNX, 4 bits (MatMulNBits): w8a8', 'model_q4.onnx', true),
    halves('w8a8', 'w8a8'),
    halves('q8', 'q8'),
    halves('q4', 'q4'),
    halves('float32'),
  ];
  publish({
    name: 'convert',
    command: 'npm run bench:convert',
    about:
      'Rewriting weights, the first start of a model: random weights in the shape of qwen2.5-0.5b, an empty cache, a process for each. ' +
      `Memory: the peak above what the process had before. Ends with exit code 1 above ${LIMIT_SECONDS_PER_GB} s for a GB of float32 or ${LIMIT_GB} GB, and below ${LEAST_MB} MB/s from bfloat16 to w8a8.`,
    tables: [
      {
        title: 'Conversions',
        columns: [
          'weights',
          'GB',
          'seconds',
          'of processors',
          'MB/s of weights',
          'GB of memory above',
          'GB on disk',
        ],
        rows: conversions.map((conversion) => rowOf(conversion, floats)),
      },
    ],
  });
}
