import { readdirSync } from 'node:fs';
import { expect, it, onTestFinished } from 'vitest';
import { openModel } from '../../../engine/model/open-model.js';
import {
  quantizedDir,
  quantizedGolden,
  quantizedNames,
} from '../../support/checkpoint-fixtures.js';
import { ExportRunner, type Generated } from '../../support/export-fixtures.js';
import { modelDir } from '../../support/model-dir.js';

const CHUNK = 24;

const cacheDir = (): string => modelDir({});

function worst(actual: Float32Array, expected: Float32Array): number {
  expect(actual.length).toBe(expected.length);
  return actual.reduce((max, x, i) => Math.max(max, Math.abs(x - expected[i])), 0);
}

async function answers(
  name: string,
  options: Parameters<typeof ExportRunner.load>[1],
): Promise<{ runner: ExportRunner; results: Generated[] }> {
  const { prompts, tokens } = quantizedGolden(name);
  const runner = await ExportRunner.load(quantizedDir(name), options);
  onTestFinished(() => runner.dispose());
  return { runner, results: await runner.generate(prompts, tokens[0].length, CHUNK) };
}

it.each(quantizedNames())('%s says what transformers says of the floats it means', async (name) => {
  const { tokens, logits } = quantizedGolden(name);
  const widen = { cacheDir: cacheDir() };
  const { results } = await answers(name, { widen });
  for (const [i, result] of results.entries()) {
    expect(worst(result.first, logits[i][0])).toBeLessThan(1e-3);
    expect(result.tokens).toEqual(tokens[i]);
    expect(worst(result.last, logits[i][1])).toBeLessThan(1e-3);
  }
  expect(readdirSync(widen.cacheDir)).toEqual([expect.stringMatching(`^${name}-unpacked-`)]);
});

it('is the same with its weights in memory', async () => {
  const { logits } = quantizedGolden('gptq');
  const { results } = await answers('gptq', {});
  expect(worst(results[1].first, logits[1][0])).toBeLessThan(1e-3);
});

it.each(['gptq', 'fp8-blocks', 'w4a16-zero-points'])(
  '%s becomes int8 with --quantize w8a8, in one entry of the cache',
  async (name) => {
    const { logits } = quantizedGolden(name);
    const cache = cacheDir();
    const quantize = { cacheDir: cache, nbits: false };
    const { runner, results } = await answers(name, { quantize });
    expect(runner.model.report.rewrites.join('\n')).toMatch(/w8a8: 8 matmuls/);
    expect(worst(results[0].first, logits[0][0])).toBeLessThan(0.2);
    expect(readdirSync(cache)).toEqual([expect.stringMatching(`^${name}-w8a8-`)]);
  },
);

it('int8 of the checkpoint stays what it is with --quantize w8a8', async () => {
  const { runner, results } = await answers('w8a8', {
    quantize: { cacheDir: cacheDir(), nbits: false },
  });
  const report = runner.model.report.rewrites.join('\n');
  expect(report).toMatch(/w8a8: 1 matmuls of 1 activations/);
  expect(report).toMatch(/left as they are: .* and 6 more \(weights of 8 bits already\)/);
  expect(worst(results[0].first, quantizedGolden('w8a8').logits[0][0])).toBeLessThan(0.2);
});

it.each(['gptq', 'w8a8', 'fp8'])('%s is described without its weights', async (name) => {
  const directory = quantizedDir(name);
  const { report: whole } = await openModel({ modelDir: directory, maxLength: 128 });
  const { report } = await openModel({ modelDir: directory, maxLength: 128, isSketch: true });
  expect(report).toEqual(whole);
});
