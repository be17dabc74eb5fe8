import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import {
  checkpointDir,
  checkpointGolden,
  checkpointNames,
} from '../../support/checkpoint-fixtures.js';
import { ExportRunner, type Generated } from '../../support/export-fixtures.js';
import { modelDir } from '../../support/model-dir.js';

const CHUNK = 24;

const cacheDir = (): string => modelDir({});

function distance(a: Float32Array, b: Float32Array): number {
  return a.reduce((max, x, i) => Math.max(max, Math.abs(x - b[i])), 0);
}

async function answers(
  name: string,
  options: Parameters<typeof ExportRunner.load>[1],
): Promise<{ runner: ExportRunner; results: Generated[] }> {
  const { prompts, tokens } = checkpointGolden(name);
  const runner = await ExportRunner.load(checkpointDir(name), options);
  onTestFinished(() => runner.dispose());
  return { runner, results: await runner.generate(prompts, tokens[0].length, CHUNK) };
}

// Tied and untied, in one file and in parts, bfloat16 and float16, packed matrices, experts.
it.each(['qwen2', 'qwen3', 'phi3', 'gpt2', 'mixtral'])(
  'weights of 16 bits are kept as float32, once: %s',
  async (name) => {
    const { tokens, logits } = checkpointGolden(name);
    const dir = cacheDir();
    const widened: number[] = [];
    const widen = {
      cacheDir: dir,
      onProgress: (_: string, done: number) => void widened.push(done),
    };
    const first = await answers(name, { widen });
    expect(first.results.map((result) => result.tokens)).toEqual(tokens);
    expect(distance(first.results[0].first, logits[0][0])).toBeLessThan(1e-3);
    expect(first.runner.model.report.rewrites.join('\n')).toMatch(/widened \d+ weights to float32/);
    expect(first.runner.model.weightsDir).toMatch(dir);
    const entries = readdirSync(dir);
    expect(entries).toEqual([expect.stringMatching(new RegExp(`^${name}-float32-`))]);
    expect(widened.length).toBeGreaterThan(0);
    widened.length = 0;
    const second = await answers(name, { widen });
    expect(second.results[0].first).toEqual(first.results[0].first);
    expect(widened).toEqual([]);
    expect(readdirSync(dir)).toEqual(entries);
  },
);

it('float32 is read where it lies, and nothing is written', async () => {
  const dir = cacheDir();
  const { runner } = await answers('llama3', { widen: { cacheDir: dir } });
  expect(readdirSync(dir)).toEqual([]);
  expect(runner.model.weightsDir).toBe(checkpointDir('llama3'));
});

it('a table of which only rows are looked up stays in 16 bits', async () => {
  const { runner } = await answers('llama2', { widen: { cacheDir: cacheDir() } });
  const { weights } = runner.model.report;
  expect(weights['bfloat16']).toBe(64 * 32 * 2);
  const { size } = statSync(join(runner.model.weightsDir ?? '', 'weights.bin'));
  expect(size).toBeGreaterThan(weights['float']);
});

it.each(checkpointNames())('%s is near float32 as W8A8, and the same alone', async (name) => {
  const { prompts, tokens, logits } = checkpointGolden(name);
  const quantize = { nbits: false, cacheDir: cacheDir() };
  const { runner, results } = await answers(name, { quantize });
  expect(runner.model.report.rewrites.join('\n')).toMatch(/w8a8: \d+ matmuls/);
  const largest = logits[1][0].reduce((max, x) => Math.max(max, Math.abs(x)), 0);
  expect(distance(results[1].first, logits[1][0])).toBeLessThan(0.25 * largest);
  const [alone] = await runner.generate([prompts[1]], tokens[0].length, CHUNK);
  expect(alone.tokens).toEqual(results[1].tokens);
});
