import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { memoryOf, type PackedMatrix } from '../../../engine/checkpoint/packed/packed-matrix.js';
import { findSafetensors } from '../../../engine/checkpoint/safetensors-files.js';
import { fullRowsOf } from '../../../engine/decoding/logits-query.js';
import { CalibratedRounding } from '../../../engine/importer/quantize/calibrated-matrix.js';
import type { Calibration, MomentSource } from '../../../engine/importer/quantize/calibration.js';
import { WeightKernel } from '../../../engine/importer/quantize/kernel/weight-kernel.js';
import { openSource } from '../../../engine/importer/quantize/open-source.js';
import type { QuantizedKind } from '../../../engine/importer/quantize/quantization.js';
import { planOf } from '../../../engine/importer/quantize/quantize-model.js';
import { groupFor, roundedMatrix } from '../../../engine/importer/quantize/round-blocks.js';
import { roundWeights } from '../../../engine/importer/quantize/round-weights.js';
import { type StoredMatrix, TensorBytes } from '../../../engine/importer/quantize/stored-matrix.js';
import { WeightsFile } from '../../../engine/importer/quantize/weights-file.js';
import { openGraph } from '../../../engine/model/open-model.js';
import type { EngineOptions } from '../../../engine/protocol/options.js';
import type { BlockId } from '../../../kvcache/ids.js';
import type { SequenceId } from '../../../scheduler/ids.js';
import { calibrationOf, type SeenMoments } from '../../support/calibration.js';
import { asGguf } from '../../support/checkpoint-as-gguf.js';
import {
  checkpointDir,
  checkpointGolden,
  quantizedDir,
  quantizedGolden,
} from '../../support/checkpoint-fixtures.js';
import { ExportRunner, exportDir } from '../../support/export-fixtures.js';
import { modelDir } from '../../support/model-dir.js';
import { goldenPrompts, loadTiny } from '../../support/octavo-tiny.js';

const TEXTS = fileURLToPath(
  new URL('../../../bench/fixtures/octavo-tiny-calibration.jsonl', import.meta.url),
);

async function rounded(
  model: string,
  kind: QuantizedKind,
  calibration?: Calibration,
  cacheDir = modelDir({}),
): Promise<ExportRunner> {
  const quantize = { nbits: false, cacheDir, ...(calibration && { calibration }) };
  const runner = await ExportRunner.load(model, { quantize: { ...quantize, kind } });
  onTestFinished(() => runner.dispose());
  return runner;
}

const CASES = ['llama3', 'qwen2', 'mixtral', 'granite4-h'].flatMap((name) =>
  ([4, 8] as const).map((bits) => [name, bits] as const),
);

it.each(CASES)('%s in %d bits: what matmuls answer has less squared error', async (name, bits) => {
  const dir = checkpointDir(name);
  const seen: SeenMoments = new Map();
  const kind = `q${bits}` as const;
  const calibration = calibrationOf(dir, checkpointGolden(name).prompts, seen);
  const { model } = await rounded(dir, kind, calibration);
  expect(model.report.rewrites.join('\n')).toContain(`${kind}: rounded by texts (`);
  const graph = await openGraph({ modelDir: dir });
  const source: MomentSource = {
    stageOf: () => 0,
    momentsOf: (activation) => Promise.resolve([Float32Array.from(seen.get(activation) ?? [])]),
    close: () => Promise.resolve(),
  };
  const bytes = new TensorBytes(graph.file);
  const kernel = new WeightKernel();
  const calibrated = new CalibratedRounding(kernel, source);
  let [near, far] = [0, 0];
  for (const { source: of, activation, inputs } of planOf(graph, { kind: 'q4', nbits: false })
    .matmuls) {
    const moments = seen.get(activation);
    // The LM head's input has another name here.
    if (!moments || (of.kind === 'dense' && !of.turned)) continue;
    const matrix = openSource(graph, of, bytes);
    const group = groupFor(bits, inputs) ?? 0;
    near += await squaredError(calibrated.matrix(matrix, bits, group, activation), matrix, moments);
    far += await squaredError(roundedMatrix(kernel, matrix, bits, group), matrix, moments);
  }
  bytes.close();
  expect(near).toBeLessThan(0.8 * far);
});

/** Sum of d H d^T over the rows d of what rounding has changed. */
async function squaredError(
  packed: PackedMatrix,
  matrix: StoredMatrix,
  moments: Float32Array,
): Promise<number> {
  const { rows, columns, group, bits } = packed;
  const floats = new Float32Array(rows * columns);
  matrix.read(0, rows, floats);
  await packed.prepare?.();
  const { values, scales } = memoryOf(packed, rows);
  packed.read(0, rows, { ...memoryOf(packed, 0), values, scales });
  let sum = 0;
  for (let row = 0; row < floats.length; row += columns) {
    const d = floats
      .subarray(row, row + columns)
      .map(
        (x, i) => x - (values[row + i] - 2 ** (bits - 1)) * scales[Math.floor((row + i) / group)],
      );
    for (let i = 0; i < columns; i++) {
      for (let j = 0; j < columns; j++) sum += d[i] * moments[i * columns + j] * d[j];
    }
  }
  return sum;
}

it('a GGUF file of floats is rounded by the same sums', async () => {
  const { prompts } = checkpointGolden('llama3');
  const source = checkpointDir('llama3');
  const config = JSON.parse(readFileSync(join(source, 'config.json'), 'utf8')) as object;
  const entry = (await findSafetensors(source)) ?? '';
  const form = { architecture: 'llama', sorts: true };
  const file = join(modelDir({}), 'model.gguf');
  writeFileSync(file, await asGguf(source, entry, { ...config }, form));
  const [own, expected]: SeenMoments[] = [new Map(), new Map()];
  await rounded(file, 'q4', calibrationOf(file, prompts, own));
  await rounded(source, 'q4', calibrationOf(source, prompts, expected));
  expect([...own.keys()]).toEqual([...expected.keys()]);
  for (const [name, sums] of expected) {
    const largest = sums.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    own.get(name)?.forEach((x, i) => {
      expect(Math.abs(x - sums[i]) / largest).toBeLessThan(1e-4);
    });
  }
});

describe('the model cache', () => {
  it('has an entry for each set of texts, and runs the model once for it', async () => {
    const dir = checkpointDir('llama3');
    const { prompts } = checkpointGolden('llama3');
    const cacheDir = modelDir({});
    let runs = 0;
    const start = async (sequences: readonly (readonly number[])[]): Promise<void> => {
      const calibration = calibrationOf(dir, sequences);
      const collect: Calibration['collect'] = (inputs) => {
        runs += 1;
        return calibration.collect(inputs);
      };
      await rounded(dir, 'q4', { ...calibration, collect }, cacheDir);
    };
    await rounded(dir, 'q4', undefined, cacheDir);
    await start(prompts);
    expect([runs, readdirSync(cacheDir).length]).toEqual([1, 2]);
    await start(prompts);
    expect([runs, readdirSync(cacheDir).length]).toEqual([1, 2]);
    await start(prompts.slice(1));
    expect([runs, readdirSync(cacheDir).length]).toEqual([2, 3]);
  });

  it('a conversion that was ended sums nothing for what it has written', async () => {
    const files = { modelDir: checkpointDir('llama3') };
    const directory = modelDir({});
    const options = { kind: 'q4', nbits: false } as const;
    /** Ends when more activations are asked for. */
    const run = async (name: string, most: number): Promise<readonly string[]> => {
      const graph = await openGraph(files);
      const target = await WeightsFile.open(join(directory, name), name);
      const asked: string[] = [];
      const calibration: Calibration = {
        key: '',
        collect: async (inputs) => ({
          stageOf: (input) => inputs.findIndex((other) => other.name === input),
          momentsOf: async (input) => {
            if (asked.length === most) throw new Error('ended');
            asked.push(input);
            const width = inputs.find((other) => other.name === input)?.width ?? 0;
            return [
              Float32Array.from({ length: width ** 2 }, (_, i) => Number(i % (width + 1) === 0)),
            ];
          },
          close: () => Promise.resolve(),
        }),
      };
      const onProgress = (): void => undefined;
      try {
        await roundWeights(graph, planOf(graph, options), 4, target, {
          onProgress,
          calibration,
          activations: 'exact',
        });
        await target.finish();
      } catch (error) {
        expect(error).toEqual(new Error('ended'));
      }
      await target.close();
      return asked;
    };
    const all = await run('whole', 99);
    const first = await run('parts', 3);
    const rest = await run('parts', 99);
    expect(first).toEqual(all.slice(0, 3));
    expect(rest).toEqual(all.slice(3));
    const read = (name: string): Buffer => readFileSync(join(directory, name));
    expect(read('parts').equals(read('whole'))).toBe(true);
  });
});

describe('refuses', () => {
  it.each(['awq', 'w8a8', 'fp8-blocks'])('packed weights: %s', async (name) => {
    const dir = quantizedDir(name);
    const calibration = calibrationOf(dir, quantizedGolden(name).prompts);
    await expect(rounded(dir, 'q4', calibration)).rejects.toThrow(
      /--calibrate rounds weights of float32, float16 and bfloat16; that of node .* is packed/,
    );
  });

  it('layers that read the pages of others', async () => {
    const dir = exportDir('transformers-5', 'gemma4');
    const calibration = calibrationOf(dir, [[1, 2, 3]]);
    await expect(rounded(dir, 'q4', calibration)).rejects.toThrow(
      /--calibrate takes decoders whose layers have keys and values of their own/,
    );
  });

  it('a model that computes infinite numbers', async () => {
    const dir = checkpointDir('llama3');
    const real = calibrationOf(dir, [[1, 2, 3]]);
    const collect: Calibration['collect'] = async (inputs) => {
      const source = await real.collect(inputs);
      return {
        stageOf: (name) => source.stageOf(name),
        close: () => source.close(),
        momentsOf: async (name) => (await source.momentsOf(name)).map((m) => m.fill(Infinity)),
      };
    };
    await expect(rounded(dir, 'q4', { key: '', collect })).rejects.toThrow(
      /--calibrate: the model computes numbers that are infinite or NaN/,
    );
  });
});

it('octavo-tiny in 4 bits is nearer to float32 with texts', async () => {
  const all = readFileSync(TEXTS, 'utf8').split('\n');
  const texts = all.filter((_, i) => i % 4 === 0);
  const calibrate = join(modelDir({ 'texts.jsonl': texts.join('\n') }), 'texts.jsonl');
  const quantize = { kind: 'q4', nbits: false, cacheDir: modelDir({}) } as const;
  const exact = await tinyLogits({});
  const far = squaredDistance(await tinyLogits({ quantize }), exact);
  const near = squaredDistance(await tinyLogits({ quantize: { ...quantize, calibrate } }), exact);
  expect(near).toBeLessThan(0.75 * far);
});

/** Behind each of the golden prompts of up to 100 tokens. */
async function tinyLogits(options: Partial<EngineOptions>): Promise<Float32Array> {
  const { runner } = await loadTiny(options);
  const prompts = goldenPrompts().filter(({ length }) => length <= 100);
  const sequences = prompts.map((tokenIds, i) => ({
    id: `${i}` as SequenceId,
    tokenIds,
    numComputed: 0,
    numProposed: 0,
    adapter: null,
    sequenceLength: tokenIds.length,
    blockTables: [Array.from({ length: 7 }, (_, block) => (7 * i + block) as BlockId)],
    sampledFor: [`${i}` as SequenceId],
  }));
  const numTokens = prompts.reduce((sum, { length }) => sum + length, 0);
  const plan = { sequences, numTokens, blockCopies: [] };
  const { fullLogits } = await runner.execute(plan, fullRowsOf(plan));
  await runner.dispose();
  return fullLogits;
}

function squaredDistance(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, x, i) => sum + (x - b[i]) ** 2, 0);
}
