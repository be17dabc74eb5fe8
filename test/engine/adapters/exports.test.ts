import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { embeddedModelDir } from '../../../engine/environment/package-root.js';
import type { QuantizeModelOptions } from '../../../engine/importer/quantize/quantize-model.js';
import {
  type MadeAdapter,
  type ModulePlace,
  randomAdapter,
  separatePlaces,
  tinyAdapter,
  writeAdapter,
} from '../../support/adapters.js';
import {
  ExportRunner,
  exportDir,
  type Generated,
  readGolden,
} from '../../support/export-fixtures.js';

const SIZES = { q_proj: 64, k_proj: 32, v_proj: 32, o_proj: 64 };
const MLP = { gate_proj: 48, up_proj: 48, down_proj: 64 };

/** Queries, keys and values are columns of one matmul. */
function joined(layers: number): ModulePlace[] {
  const { q_proj: q, k_proj: k } = SIZES;
  const first: Readonly<Record<string, number>> = { q_proj: 0, k_proj: q, v_proj: q + k };
  return separatePlaces(layers, { ...SIZES, ...MLP }).map(({ module, node, count, ...place }) => {
    const column = first[module.slice(module.lastIndexOf('.') + 1)] ?? place.first;
    return { module, node: node.replace(/\b[qkv]_proj/, 'qkv_proj'), first: column, count };
  });
}

function temporary(directory: string): string {
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

async function loaded(...given: Parameters<typeof ExportRunner.load>): Promise<ExportRunner> {
  const runner = await ExportRunner.load(...given);
  onTestFinished(() => runner.dispose());
  return runner;
}

/** By the largest logit. */
function worst(actual: Float32Array, expected: Float32Array): number {
  const largest = expected.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
  return actual.reduce((max, x, i) => Math.max(max, Math.abs(x - expected[i])), 0) / largest;
}

it.each([
  ['genai-0.18', 'qwen3', joined(2)],
  ['genai-mha', 'qwen2', separatePlaces(2, { ...SIZES, ...MLP })],
  ['optimum', 'qwen2', separatePlaces(2, { ...SIZES, ...MLP }, 'self_attn')],
] as const)(
  'changes the matmuls of %s/%s as merged weights do',
  async (exporter, family, places) => {
    const modelDir = exportDir(exporter, family);
    const made = randomAdapter(modelDir, 'model.onnx', places, 7, 0.4);
    const adapters = { own: temporary(writeAdapter(made)) };
    const runner = await loaded(modelDir, { adapters });
    const merged = await loaded(temporary(made.merge()));
    const { prompts } = readGolden(family);
    const expected = await merged.generate(prompts, 8, 24);
    const actual = await runner.generate(
      prompts,
      8,
      24,
      prompts.map(() => 'own'),
    );
    const plain = await runner.generate(prompts, 8, 24);
    for (const [i, result] of actual.entries()) {
      expect(result.tokens).toEqual(expected[i].tokens);
      expect(worst(result.first, expected[i].first)).toBeLessThan(1e-4);
      expect(worst(result.last, expected[i].last)).toBeLessThan(1e-4);
      expect(worst(result.first, plain[i].first)).toBeGreaterThan(0.05);
    }
  },
);

it('adds float32 products to matmuls in W8A8, no less exact than without', async () => {
  const made: MadeAdapter = tinyAdapter(3);
  const cacheDir = temporary(mkdtempSync(join(tmpdir(), 'octavo-test-')));
  const quantize: QuantizeModelOptions = { nbits: false, cacheDir };
  const adapters = { own: temporary(writeAdapter(made)) };
  const runner = await loaded(embeddedModelDir(), { quantize, adapters });
  const plain = await loaded(embeddedModelDir());
  const merged = await loaded(temporary(made.merge()));
  const prompts = [Array.from({ length: 40 }, (_, i) => 5 + ((i * 37) % 200))];
  const error = async (exact: ExportRunner, name: string | null): Promise<number> => {
    const [expected]: Generated[] = await exact.generate(prompts, 1, 24);
    const [actual] = await runner.generate(prompts, 1, 24, [name]);
    return worst(actual.first, expected.first);
  };
  const without = await error(plain, null);
  expect(without).toBeGreaterThan(0);
  expect(await error(merged, 'own')).toBeLessThan(Math.max(2 * without, 0.05));
});
