import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openCalibration } from '../engine/calibration/open-calibration.js';
import { openModel } from '../engine/model/open-model.js';
import { publish } from './lib/report.js';
import { ensureCheckpoint } from './models/random-checkpoint.js';
import { ensureTokenizer } from './models/tokenizer.js';

// What `--quantize q4 --calibrate` costs a model of 8 billion weights: memory, and time for each
// layer. Two layers stand for 32: memory holds a part of one, whatever their number is.

const LIMIT_GB = 1.5;
const LAYERS = 2;

/** Llama 3.1 8B, but for the number of its layers. */
const CONFIG = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  vocab_size: 128_256,
  hidden_size: 4096,
  intermediate_size: 14_336,
  num_hidden_layers: LAYERS,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  head_dim: 128,
  max_position_embeddings: 131_072,
  rope_theta: 500_000,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: false,
};

interface Outcome {
  readonly seconds: number;
  /** Until the first weight is written: the texts have run up to its inputs. */
  readonly texts: number;
  /** Bytes: peaks of this process. */
  readonly before: number;
  readonly peak: number;
  /** Of the peak, what is no file that the system may drop from memory. */
  readonly own: number;
}

const peakMemory = (): number => 1024 * process.resourceUsage().maxRSS;

/** Memory of this process that is not a file's, in bytes; 0 where the system does not say. */
function ownMemory(): number {
  try {
    const status = readFileSync('/proc/self/status', 'utf8');
    return 1024 * Number(/RssAnon:\s+(\d+)/.exec(status)?.[1] ?? 0);
  } catch {
    return 0;
  }
}

async function calibrate(modelDir: string, texts: string, cacheDir: string): Promise<Outcome> {
  const before = peakMemory();
  const start = performance.now();
  let first = 0;
  let own = 0;
  const timer = setInterval(() => {
    own = Math.max(own, ownMemory());
  }, 20);
  const options = { modelDir, servedLength: 512 };
  const calibration = await openCalibration(texts, options, { threads: 2, scratchDir: cacheDir });
  const onProgress = async (): Promise<void> => {
    first ||= performance.now();
    own = Math.max(own, ownMemory());
  };
  const quantize = { kind: 'q4', nbits: false, cacheDir, calibration, onProgress } as const;
  await openModel({ ...options, quantize });
  clearInterval(timer);
  const since = (end: number): number => (end - start) / 1000;
  return {
    seconds: since(performance.now()),
    texts: since(first),
    before,
    peak: peakMemory(),
    own,
  };
}

/** What the embedded model's conversations say, each in a line: this model has no chat template. */
function plainTexts(): string[] {
  const fixture = new URL('./fixtures/octavo-tiny-calibration.jsonl', import.meta.url);
  return readFileSync(fixture, 'utf8')
    .trim()
    .split('\n')
    .map((line) => {
      const { messages = [], text = '' } = JSON.parse(line) as {
        messages?: { content?: string | null }[];
        text?: string;
      };
      const said = messages.map(({ content }) => content ?? '').join(' ');
      return (text + said).replaceAll(/\s+/g, ' ');
    })
    .filter((line) => line !== '');
}

const [job] = process.argv.slice(2);
if (job) {
  const { directory, texts, cacheDir } = JSON.parse(job) as Record<string, string>;
  process.stdout.write(JSON.stringify(await calibrate(directory, texts, cacheDir)));
} else {
  const directory = ensureCheckpoint('llama-3.1-8b-2-layers', CONFIG, 'BF16');
  ensureTokenizer(directory, CONFIG.vocab_size);
  const cacheDir = mkdtempSync(join(tmpdir(), 'octavo-bench-calibrate-'));
  const texts = join(cacheDir, 'texts.txt');
  writeFileSync(texts, plainTexts().join('\n'));
  try {
    const script = fileURLToPath(import.meta.url);
    const command = JSON.stringify({ directory, texts, cacheDir });
    const output = execFileSync(process.execPath, ['--import', 'tsx', script, command], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const { seconds, texts: ran, before, peak, own } = JSON.parse(output) as Outcome;
    if ((peak - before) / 1e9 > LIMIT_GB) process.exitCode = 1;
    publish({
      name: 'calibrate',
      command: 'npm run bench:calibrate',
      about:
        `Rounding weights to 4 bits by texts: ${LAYERS} layers of the width of Llama 3.1 8B, random weights in bfloat16. ` +
        `Memory: the peak above what the process had before. Ends with exit code 1 above ${LIMIT_GB} GB.`,
      tables: [
        {
          title: 'Calibration',
          columns: [
            'layers',
            'seconds',
            'until the first weight is rounded',
            'GB of memory above',
            'of which no mapped file',
          ],
          rows: [[LAYERS, seconds, ran, (peak - before) / 1e9, own / 1e9]],
        },
      ],
    });
  } finally {
    rmSync(cacheDir, { recursive: true });
  }
}
