import { execFile } from 'node:child_process';
import {
  closeSync,
  cpSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, expect, it, describe as suite } from 'vitest';
import { weightsOf } from '../../../../engine/architectures/check-weights.js';
import { Config } from '../../../../engine/architectures/config.js';
import { describe } from '../../../../engine/architectures/describe-model.js';
import { openModel } from '../../../../engine/model/open-model.js';
import { noise } from '../../../../engine/noise.js';
import { modelDir } from '../../../support/model-dir.js';
import { withHeader } from '../../../support/safetensors.js';

type Kind = 'w8a8' | 'q4' | 'none';

/** A Llama of about 36 MB in bfloat16: several reports of progress. */
const CONFIG = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_size: 512,
  intermediate_size: 1536,
  num_hidden_layers: 4,
  num_attention_heads: 8,
  num_key_value_heads: 8,
  vocab_size: 4096,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  tie_word_embeddings: true,
};

/** @param fill the numbers as bfloat16; absent: zeros, which take no room on a disk */
function checkpoint(directory: string, config: object, fill?: () => number): void {
  const header: Record<string, object> = {};
  let end = 0;
  for (const { name, shape } of weightsOf(describe(new Config('', { ...config }))).values()) {
    const bytes = 2 * shape.reduce((a, b) => a * b, 1);
    header[name] = { dtype: 'BF16', shape, data_offsets: [end, end + bytes] };
    end += bytes;
  }
  const head = withHeader(JSON.stringify(header), new Uint8Array(0));
  const file = join(directory, 'model.safetensors');
  writeFileSync(join(directory, 'config.json'), JSON.stringify(config));
  writeFileSync(file, head);
  truncateSync(file, head.length + end);
  if (!fill) return;
  const numbers = Uint16Array.from({ length: 2 ** 17 - 1 }, fill);
  const output = openSync(file, 'r+');
  for (let at = 0; at < end; at += numbers.byteLength) {
    const count = Math.min(numbers.byteLength, end - at);
    writeSync(output, new Uint8Array(numbers.buffer, 0, count), 0, count, head.length + at);
  }
  closeSync(output);
}

const random = noise(3);
const halves = new Float32Array(1);
const toBfloat16 = (): number => {
  halves[0] = random();
  return new Uint32Array(halves.buffer)[0] >>> 16;
};

const SCRIPT = fileURLToPath(new URL('../../../support/convert-process.ts', import.meta.url));

/** Peaks of memory in bytes, before and in all. */
async function convertApart(
  directory: string,
  cacheDir: string,
  kind: Kind,
  ...limit: number[]
): Promise<[number, number]> {
  const args = ['--import', 'tsx', SCRIPT, directory, cacheDir, kind, ...limit.map(String)];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout) as [number, number];
}

/** @returns the weights, and the first report of progress */
async function convertHere(directory: string, cacheDir: string, kind: Kind) {
  const reports: [what: string, done: number, total: number][] = [];
  const onProgress = (...report: [string, number, number]) => void reports.push(report);
  const widen = { cacheDir, onProgress };
  await openModel({
    modelDir: directory,
    widen,
    ...(kind !== 'none' && { quantize: { kind, nbits: false, ...widen } }),
  });
  const entry = readdirSync(cacheDir).find((name) => !name.startsWith('.')) ?? '';
  const files = readdirSync(join(cacheDir, entry)).sort();
  expect(files).toEqual(['manifest.json', 'model.onnx', 'weights.bin']);
  return { reports, weights: readFileSync(join(cacheDir, entry, 'weights.bin')) };
}

const partials = (cacheDir: string): string[] =>
  readdirSync(cacheDir).filter((name) => name.startsWith('.partial-'));

/** When the weights were, in seconds. */
const MODIFIED = 1_700_000_000;
const directory = mkdtempSync(join(tmpdir(), 'octavo-test-'));
checkpoint(directory, CONFIG, toBfloat16);
utimesSync(join(directory, 'model.safetensors'), MODIFIED, MODIFIED);
afterAll(() => rmSync(directory, { recursive: true }));

/** A cache in which a process was killed in the middle of a conversion. */
async function interrupted(kind: Kind, limit = 20e6): Promise<string> {
  const cacheDir = modelDir({});
  await expect(convertApart(directory, cacheDir, kind, limit)).rejects.toMatchObject({
    signal: 'SIGKILL',
  });
  const [partial] = partials(cacheDir);
  expect(readdirSync(join(cacheDir, partial)).sort()).toEqual([
    'owner.json',
    'weights.bin',
    'weights.bin.journal',
  ]);
  return cacheDir;
}

/** The source without the numbers of the first tensor of a journal. */
function forget(journal: string): string {
  const [line] = readFileSync(journal, 'utf8').split('\n');
  const { name } = JSON.parse(line) as { name: string };
  const copy = join(modelDir({}), basename(directory));
  cpSync(directory, copy, { recursive: true });
  const file = join(copy, 'model.safetensors');
  const bytes = readFileSync(file);
  const start = 8 + Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.toString('utf8', 8, start)) as Record<
    string,
    { readonly data_offsets: readonly [number, number] }
  >;
  const own = Object.keys(header).filter((tensor) => name.startsWith(tensor));
  expect(own).toHaveLength(1);
  const [from, to] = header[own[0]].data_offsets;
  bytes.fill(0, start + from, start + to);
  writeFileSync(file, bytes);
  utimesSync(file, MODIFIED, MODIFIED);
  return copy;
}

suite('a conversion that was killed', () => {
  it.each([
    ['w8a8', 'rewriting weights as w8a8'],
    ['q4', 'rewriting weights as q4'],
    ['none', 'widening weights to float32'],
  ] as const)('goes on where it stopped: %s', async (kind, what) => {
    const whole = await convertHere(directory, modelDir({}), kind);
    const cacheDir = await interrupted(kind);
    // What was read is not read again: other numbers there change nothing.
    const copy = forget(join(cacheDir, partials(cacheDir)[0], 'weights.bin.journal'));
    const { reports, weights } = await convertHere(copy, cacheDir, kind);
    expect(weights.equals(whole.weights)).toBe(true);
    const total = whole.reports[0][2];
    expect(reports.at(-1)).toEqual([what, total, total]);
    expect(partials(cacheDir)).toEqual([]);
  });

  it('writes again what is damaged, and all behind it', async () => {
    const { weights } = await convertHere(directory, modelDir({}), 'w8a8');
    const cacheDir = await interrupted('w8a8');
    const file = join(cacheDir, partials(cacheDir)[0], 'weights.bin');
    const bytes = readFileSync(file);
    bytes[Math.floor(bytes.length / 2)] ^= 1;
    writeFileSync(file, bytes);
    // And a line that it was killed in.
    const journal = `${file}.journal`;
    writeFileSync(journal, `${readFileSync(journal, 'utf8')}{"name":"model.la`);
    const again = await convertHere(directory, cacheDir, 'w8a8');
    expect(again.weights.equals(weights)).toBe(true);
  });

  it('starts over for another source, and when the weights are gone', async () => {
    const cacheDir = await interrupted('w8a8');
    const [partial] = partials(cacheDir);
    const copy = modelDir({});
    cpSync(directory, copy, { recursive: true });
    utimesSync(join(copy, 'model.safetensors'), 1, 1);
    const whole = await convertHere(copy, cacheDir, 'w8a8');
    expect(partials(cacheDir)).toEqual([partial]);
    truncateSync(join(cacheDir, partial, 'weights.bin'), 0);
    const own = modelDir({});
    cpSync(join(cacheDir, partial), join(own, partial), { recursive: true });
    const again = await convertHere(directory, own, 'w8a8');
    expect(again.weights.equals(whole.weights)).toBe(true);
  });

  it('is left alone while its process runs, and taken when that is silent', async () => {
    const cacheDir = await interrupted('w8a8');
    const [partial] = partials(cacheDir);
    const file = join(cacheDir, partial, 'owner.json');
    const owner = JSON.parse(readFileSync(file, 'utf8')) as object;
    // The parent of this process runs.
    writeFileSync(file, JSON.stringify({ ...owner, host: hostname(), pid: process.ppid }));
    const size = statSync(join(cacheDir, partial, 'weights.bin')).size;
    await convertHere(directory, cacheDir, 'w8a8');
    expect(partials(cacheDir)).toEqual([partial]);
    expect(statSync(join(cacheDir, partial, 'weights.bin')).size).toBe(size);
    const silent = modelDir({});
    cpSync(join(cacheDir, partial), join(silent, partial), { recursive: true });
    const past = Date.now() / 1000 - 120;
    utimesSync(join(silent, partial, 'owner.json'), past, past);
    await convertHere(directory, silent, 'w8a8');
    expect(partials(silent)).toEqual([]);
  });
});

it('memory does not grow with the largest matrix', async () => {
  // An LM head of 384 MiB as int8, of which 256 are in memory; its zeros take no room.
  const config = { ...CONFIG, hidden_size: 2048, vocab_size: 3 * 2 ** 16, num_hidden_layers: 1 };
  const huge = modelDir({});
  checkpoint(huge, config);
  const [before, peak] = await convertApart(huge, modelDir({}), 'w8a8');
  expect(peak - before).toBeLessThan(360 * 2 ** 20);
});
