import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { adapterDir, adapterGolden } from '../../support/adapters.js';
import { asGguf } from '../../support/checkpoint-as-gguf.js';
import { checkpointDir, checkpointGolden } from '../../support/checkpoint-fixtures.js';
import { ExportRunner, type Generated, type Golden } from '../../support/export-fixtures.js';
import { modelDir } from '../../support/model-dir.js';

const CHUNK = 24;
const TOKENS = 16;

async function load(base: string, ...names: readonly string[]): Promise<ExportRunner> {
  const adapters = Object.fromEntries(names.map((name) => [name, adapterDir(base, name)]));
  const runner = await ExportRunner.load(checkpointDir(base), { adapters });
  onTestFinished(() => runner.dispose());
  return runner;
}

function worst(actual: Float32Array, expected: Float32Array): number {
  return actual.reduce((max, x, i) => Math.max(max, Math.abs(x - expected[i])), 0);
}

function expectEqual(actual: Generated, { tokens, logits }: Golden, index: number): void {
  expect(actual.tokens).toEqual(tokens[index]);
  expect(worst(actual.first, logits[index][0])).toBeLessThan(1e-4);
  expect(worst(actual.last, logits[index][1])).toBeLessThan(1e-4);
}

describe('a LoRA adapter', () => {
  it.each([
    ['llama2', 'all'],
    ['llama2', 'few'],
    ['llama2', 'patterns'],
    ['qwen3', 'all'],
    ['phi3', 'packed'],
    ['gpt2', 'conv'],
  ])('%s/%s says what PEFT says of the merged weights', async (base, name) => {
    const golden = adapterGolden(base, name);
    const runner = await load(base, name);
    const { prompts } = golden;
    const adapters = prompts.map(() => name);
    const results = await runner.generate(prompts, TOKENS, CHUNK, adapters);
    for (const [i, result] of results.entries()) expectEqual(result, golden, i);
    const [alone] = await runner.generate([prompts[1]], TOKENS, 7, [name]);
    expectEqual(alone, golden, 1);
  });

  it('finds the rows of queries and keys that a GGUF file has sorted', async () => {
    const source = checkpointDir('llama2');
    const config = JSON.parse(readFileSync(join(source, 'config.json'), 'utf8')) as object;
    const conversion = { architecture: 'llama', sorts: true };
    const bytes = await asGguf(source, 'model.safetensors', { ...config }, conversion);
    const file = join(modelDir({ 'llama2.gguf': bytes }), 'llama2.gguf');
    const runner = await ExportRunner.load(file, {
      adapters: { all: adapterDir('llama2', 'all') },
    });
    onTestFinished(() => runner.dispose());
    const golden = adapterGolden('llama2', 'all');
    const { prompts } = golden;
    const results = await runner.generate(
      prompts,
      TOKENS,
      CHUNK,
      prompts.map(() => 'all'),
    );
    for (const [i, result] of results.entries()) expectEqual(result, golden, i);
  });

  it('shares steps with others and with the model alone, whatever else is loaded', async () => {
    const names = ['all', 'few', 'patterns'];
    const runner = await load('llama2', ...names);
    const goldens = new Map<string | null, Golden>([
      [null, checkpointGolden('llama2')],
      ...names.map((name) => [name, adapterGolden('llama2', name)] as const),
    ]);
    const expectAll = async (asked: readonly (string | null)[]): Promise<void> => {
      const cases = asked.flatMap((name) => [0, 1, 2].map((index) => ({ name, index })));
      const golden = (name: string | null) => goldens.get(name) ?? expect.unreachable();
      const results = await runner.generate(
        cases.map(({ name, index }) => golden(name).prompts[index]),
        TOKENS,
        CHUNK,
        cases.map(({ name }) => name),
      );
      for (const [i, { name, index }] of cases.entries()) {
        expectEqual(results[i], golden(name), index);
      }
    };
    await expectAll([null, 'patterns', 'all', null, 'few']);
    // Another one lies between the two.
    await expectAll(['all', 'patterns']);
    runner.adapters.unload('few');
    runner.adapters.settle(() => new Set());
    await expectAll(['patterns', null, 'all']);
    await runner.adapters.load('few', adapterDir('llama2', 'few'));
    await expectAll(['few', 'all']);
  });

  it('changes no bit of the requests beside it', async () => {
    const plain = await ExportRunner.load(checkpointDir('llama2'));
    onTestFinished(() => plain.dispose());
    const runner = await load('llama2', 'all', 'few');
    const { prompts } = checkpointGolden('llama2');
    const twice = [...prompts, ...prompts];
    const expected = await plain.generate(twice, TOKENS, CHUNK);
    const without = await runner.generate(twice, TOKENS, CHUNK);
    expect(without).toEqual(expected);
    const adapters = ['all', null, 'few', null, null, 'all'];
    const beside = await runner.generate(twice, TOKENS, CHUNK, adapters);
    for (const [i, name] of adapters.entries()) {
      if (name === null) expect(beside[i]).toEqual(expected[i]);
      else expect(beside[i].first).not.toEqual(expected[i].first);
    }
  });
});
