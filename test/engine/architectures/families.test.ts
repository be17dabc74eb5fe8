import { expect, it, onTestFinished } from 'vitest';
import {
  checkpointDir,
  checkpointGolden,
  checkpointNames,
} from '../../support/checkpoint-fixtures.js';
import { ExportRunner } from '../../support/export-fixtures.js';

const CHUNK = 24;

function worst(actual: Float32Array, expected: Float32Array): number {
  expect(actual.length).toBe(expected.length);
  return actual.reduce((max, x, i) => Math.max(max, Math.abs(x - expected[i])), 0);
}

it.each(checkpointNames())('%s says what transformers says, alone and in a batch', async (name) => {
  const { prompts, tokens, logits } = checkpointGolden(name);
  const runner = await ExportRunner.load(checkpointDir(name));
  onTestFinished(() => runner.dispose());
  const newTokens = tokens[0].length;
  const batched = await runner.generate(prompts, newTokens, CHUNK);
  const [alone] = await runner.generate([prompts[1]], newTokens, CHUNK);
  const all = [...batched.map((result, i) => ({ result, i })), { result: alone, i: 1 }];
  for (const { result, i } of all) {
    expect(result.tokens).toEqual(tokens[i]);
    expect(worst(result.first, logits[i][0])).toBeLessThan(1e-3);
    expect(worst(result.last, logits[i][1])).toBeLessThan(1e-3);
  }
});
