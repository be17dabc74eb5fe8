import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { PACKED_FORMATS } from '../../../../engine/checkpoint/packed/index.js';
import type { Activations } from '../../../../engine/importer/quantize/quantization.js';
import {
  checkpointDir,
  checkpointGolden,
  quantizedDir,
} from '../../../support/checkpoint-fixtures.js';
import { ExportRunner } from '../../../support/export-fixtures.js';
import { modelDir } from '../../../support/model-dir.js';
import { packedGguf } from '../../../support/packed-gguf.js';

const PROMPT = [1, 5, 9, 3, 17, 30];

type LoadOptions = Parameters<typeof ExportRunner.load>[1];

async function firstLogits(
  model: string,
  options: LoadOptions,
  prompts: readonly (readonly number[])[] = [PROMPT],
) {
  const runner = await ExportRunner.load(model, options);
  onTestFinished(() => runner.dispose());
  const results = await runner.generate(prompts, 1, 24);
  return { rows: results.map(({ first }) => first), report: runner.model.report.rewrites };
}

/** Root of the mean squared difference, by that of what is expected. */
function error(actual: Float32Array, expected: Float32Array): number {
  const squares = (values: Float32Array): number => values.reduce((sum, x) => sum + x * x, 0);
  return Math.sqrt(squares(actual.map((x, i) => x - expected[i])) / squares(expected));
}

/** Random weights pass errors on without damping: the largest was 0.046. */
const NEAR = 0.1;

it.each([...PACKED_FORMATS.keys()])(
  '%s times activations of 8 bits is near exact',
  async (type) => {
    const file = await packedGguf(modelDir({}), type);
    const exact = await firstLogits(file, { activations: 'exact' });
    const rounded = await firstLogits(file, { activations: 'int8' });
    const distance = error(rounded.rows[0], exact.rows[0]);
    expect(distance).toBeLessThan(NEAR);
    // The option does something.
    expect(distance).toBeGreaterThan(1e-5);
    expect(rounded.report.join()).toMatch(/round activations to 8 bits \(--activations exact/);
    expect(exact.report.join()).not.toMatch(/round activations/);
  },
);

it.each([
  ['qwen2', 'q4'],
  ['mixtral', 'q8'],
] as const)('%s as %s: each form has a place of its own in the model cache', async (name, kind) => {
  const { prompts } = checkpointGolden(name);
  const cacheDir = join(modelDir({}), 'cache');
  mkdirSync(cacheDir);
  const quantize = { kind, nbits: false, cacheDir };
  const load = (activations: Activations, own = prompts) =>
    firstLogits(checkpointDir(name), { quantize, activations }, own);
  const exact = await load('exact');
  const rounded = await load('int8');
  // From the cache.
  const alone = await load('int8', prompts.slice(0, 1));
  expect(readdirSync(cacheDir)).toHaveLength(2);
  for (const [i, row] of rounded.rows.entries()) {
    expect(error(row, exact.rows[i])).toBeLessThan(NEAR);
  }
  expect(error(alone.rows[0], rounded.rows[0])).toBeLessThan(1e-3);
  expect(error(rounded.rows[0], exact.rows[0])).toBeGreaterThan(1e-5);
});

it('what AWQ has packed is multiplied the same ways', async () => {
  const [exact, rounded] = [
    await firstLogits(quantizedDir('awq'), {}),
    await firstLogits(quantizedDir('awq'), { activations: 'int8' }),
  ];
  const distance = error(rounded.rows[0], exact.rows[0]);
  expect(distance).toBeLessThan(NEAR);
  expect(distance).toBeGreaterThan(1e-5);
});
