import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { importModel } from '../engine/importer/import-model.js';
import { type Cell, publish } from './lib/report.js';
import { ensureModel } from './models/decoder.js';

// What `--quantize w8a8` costs at the first start of a model: time, memory and disk of rewriting
// its weights, each in a process of its own with an empty cache. The files of weights have been
// read before, as after a download.

const LIMIT_GB = 1.5;
const LIMIT_SECONDS_PER_GB = 60;

interface Outcome {
  readonly seconds: number;
  /** Bytes. */
  readonly before: number;
  readonly peak: number;
}

interface Conversion {
  readonly name: string;
  readonly directory: string;
  readonly file: string;
  readonly nbits: boolean;
}

/** Peak memory of this process, in bytes. */
function peakMemory(): number {
  return 1024 * process.resourceUsage().maxRSS;
}

async function convert({ directory, nbits }: Conversion, cacheDir: string): Promise<Outcome> {
  const before = peakMemory();
  const start = performance.now();
  await importModel({
    modelDir: directory,
    dtype: nbits ? 'q4' : 'fp32',
    quantize: { nbits, cacheDir },
  });
  return { seconds: (performance.now() - start) / 1000, before, peak: peakMemory() };
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

/** Bytes of a model's weights, wherever they are. */
function sizeOf({ directory, file }: Conversion): number {
  return readdirSync(join(directory, 'onnx'))
    .filter((name) => name === file || name.startsWith(`${file}_data`))
    .reduce((sum, name) => sum + statSync(join(directory, 'onnx', name)).size, 0);
}

/** @param floats bytes of the same weights as float32 */
function rowOf(conversion: Conversion, floats: number): Cell[] {
  const { seconds, before, peak, disk } = inChild(conversion);
  const perGb = seconds / (floats / 1e9);
  const above = (peak - before) / 1e9;
  if (perGb > LIMIT_SECONDS_PER_GB || above > LIMIT_GB) process.exitCode = 1;
  return [conversion.name, sizeOf(conversion) / 1e9, seconds, perGb, above, disk / 1e9];
}

const [job] = process.argv.slice(2);
if (job) {
  const { conversion, cacheDir } = JSON.parse(job) as { conversion: Conversion; cacheDir: string };
  process.stdout.write(JSON.stringify(await convert(conversion, cacheDir)));
} else {
  const directory = ensureModel('qwen2.5-0.5b', { precision: 'fp32', keepsLogits: false });
  ensureModel('qwen2.5-0.5b', { precision: 'q4', keepsLogits: false });
  const float32 = { name: 'float32', directory, file: 'model.onnx', nbits: false };
  publish({
    name: 'convert',
    command: 'npm run bench:convert',
    about:
      'Rewriting weights as w8a8, the first start with `--quantize w8a8`: random weights in the shape of qwen2.5-0.5b, an empty cache, a process for each. ' +
      `Memory: the peak above what the process had before. Ends with exit code 1 above ${LIMIT_SECONDS_PER_GB} s for a GB of float32, or ${LIMIT_GB} GB.`,
    tables: [
      {
        title: 'Conversions',
        columns: [
          'weights',
          'GB',
          'seconds',
          'seconds for a GB of float32',
          'GB of memory above',
          'GB on disk',
        ],
        rows: [
          rowOf(float32, sizeOf(float32)),
          rowOf(
            { name: '4 bits (MatMulNBits)', directory, file: 'model_q4.onnx', nbits: true },
            sizeOf(float32),
          ),
        ],
      },
    ],
  });
}
