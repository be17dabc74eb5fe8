import { tmpdir } from 'node:os';
import { type InferenceSession, Tensor } from 'onnxruntime-node';
import { expect, it, onTestFinished } from 'vitest';
import { analyzeFloats, collectMoments } from '../../../engine/calibration/open-calibration.js';
import { fullRowsOf } from '../../../engine/decoding/logits-query.js';
import { Graph } from '../../../engine/importer/graph.js';
import { findModelFile, readModelProto } from '../../../engine/importer/model-file.js';
import { makeValueInfo } from '../../../engine/importer/onnx/nodes.js';
import { TensorProto_DataType as Type } from '../../../engine/importer/onnx/onnx_pb.js';
import { planOf } from '../../../engine/importer/quantize/quantize-model.js';
import { openWholeSession } from '../../../engine/importer/whole-session.js';
import { openGraph } from '../../../engine/model/open-model.js';
import { loadEngine } from '../../../engine/thread/load-engine.js';
import type { BlockId } from '../../../kvcache/ids.js';
import type { SequenceId, TokenId } from '../../../scheduler/ids.js';
import { calibrationOf, type SeenMoments } from '../../support/calibration.js';
import { checkpointDir, checkpointGolden } from '../../support/checkpoint-fixtures.js';
import { ExportRunner, exportDir, readGolden } from '../../support/export-fixtures.js';
import { modelDir } from '../../support/model-dir.js';

function addProducts(sums: Float64Array, rows: Float32Array, width: number): void {
  for (let row = 0; row < rows.length; row += width) {
    for (let i = 0; i < width; i++) {
      for (let j = 0; j < width; j++) sums[i * width + j] += rows[row + i] * rows[row + j];
    }
  }
}

function expectNear(actual: Float32Array | undefined, expected: Float64Array): void {
  expect(actual).toHaveLength(expected.length);
  const largest = expected.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  const off = expected.reduce((most, x, i) => Math.max(most, Math.abs(x - (actual?.[i] ?? 0))), 0);
  expect(largest).toBeGreaterThan(0);
  expect(off / largest).toBeLessThan(1e-4);
}

/** Rounds a model by some sequences. */
async function roundBy(dir: string, sequences: readonly (readonly number[])[]) {
  const seen: SeenMoments = new Map();
  const calibration = calibrationOf(dir, sequences, seen);
  const quantize = { kind: 'q4', nbits: false, cacheDir: modelDir({}), calibration } as const;
  const runner = await ExportRunner.load(dir, { quantize });
  onTestFinished(() => runner.dispose());
  return seen;
}

/** Activations of an uncut graph, all rows. */
async function uncutActivations(
  graph: Graph,
  names: readonly string[],
  prompts: readonly (readonly number[])[],
): Promise<Map<string, Float32Array[]>> {
  graph.model.graph?.output.push(...names.map((name) => makeValueInfo(name, Type.FLOAT)));
  const session: InferenceSession = await openWholeSession(graph, 1);
  onTestFinished(() => session.release());
  const rows = new Map<string, Float32Array[]>(names.map((name) => [name, []]));
  for (const prompt of prompts) {
    const results = await session.run(feedsOf(session, prompt), [...names]);
    for (const name of names) rows.get(name)?.push(results[name].data as Float32Array);
  }
  return rows;
}

function feedsOf(session: InferenceSession, prompt: readonly number[]): Record<string, Tensor> {
  const ints = (values: readonly number[]): Tensor =>
    new Tensor('int64', BigInt64Array.from(values.map(BigInt)), [1, values.length]);
  const whole: Record<string, Tensor> = {
    input_ids: ints(prompt),
    position_ids: ints(prompt.map((_, i) => i)),
    attention_mask: ints(prompt.map(() => 1)),
  };
  const feeds = session.inputMetadata.flatMap((input) => {
    if (!input.isTensor) return [];
    const { name, shape } = input;
    const past = (): Tensor =>
      new Tensor('float32', new Float32Array(0), [1, Number(shape[1]), 0, Number(shape[3])]);
    return [[name, whole[name] ?? past()] as const];
  });
  return Object.fromEntries(feeds);
}

it.each([
  ['genai', 'llama2'],
  ['optimum', 'gpt2'],
])('an ONNX file of %s, %s: the sums are those of the uncut graph', async (exporter, family) => {
  const { prompts } = readGolden(family);
  const dir = exportDir(exporter, family);
  const seen = await roundBy(dir, prompts);
  const file = await findModelFile(dir, 'model.onnx').catch(() =>
    findModelFile(dir, 'onnx/model.onnx'),
  );
  const graph = new Graph(await readModelProto(file), file);
  const { matmuls } = planOf(graph, { kind: 'q4', nbits: false });
  const widths = new Map(matmuls.map(({ activation, inputs }) => [activation, inputs]));
  const rows = await uncutActivations(graph, [...widths.keys()], prompts);
  // The LM head reads chosen rows, which have another name.
  const head = [...seen.keys()].find((name) => !widths.has(name));
  const last = matmuls.at(-1)?.activation ?? '';
  expect(seen.size).toBe(widths.size);
  for (const [name, width] of widths) {
    const sums = new Float64Array(width * width);
    for (const own of rows.get(name) ?? []) addProducts(sums, own, width);
    expectNear(seen.get(name === last && head !== undefined ? head : name), sums);
  }
});

it('texts of more tokens than are added at a time have the sums of each', async () => {
  const dir = checkpointDir('llama3');
  const { matmuls } = planOf(await openGraph({ modelDir: dir }), { kind: 'q4', nbits: false });
  const [{ activation: name, inputs: width }] = matmuls;
  const sumsOf = async (...sequences: TokenId[][]): Promise<Float32Array> => {
    const model = await analyzeFloats({ modelDir: dir, servedLength: 512 });
    const options = { threads: 1, scratchDir: tmpdir() };
    const source = await collectMoments(model, [{ name, width }], sequences, options);
    const [sums] = await source.momentsOf(name);
    await source.close();
    return sums;
  };
  const texts = [400, 300].map((length, text) =>
    Array.from({ length }, (_, i) => ((7 * i + text) % 50) as TokenId),
  );
  const [first, second] = [await sumsOf(texts[0]), await sumsOf(texts[1])];
  expectNear(
    await sumsOf(...texts),
    Float64Array.from(first, (x, i) => x + second[i]),
  );
});

const BLOCK_SIZE = 16;
/** More groups than any of the models has. */
const GROUPS = 8;

// Full attention, windows, experts, states beside and between attention, linear attention.
it.each(['llama3', 'gemma2', 'mixtral', 'granite4-h', 'falcon-h1', 'qwen3-next', 'lfm2'])(
  "%s: the LM head's inputs are those of the ordinary runner",
  async (name) => {
    const { prompts } = checkpointGolden(name);
    const dir = checkpointDir(name);
    const seen = await roundBy(dir, prompts);
    const { runner, info } = await loadEngine({
      modelDir: dir,
      maxNumSeqs: 1,
      maxNumBatchedTokens: 64,
      blockSize: BLOCK_SIZE,
      kvCacheBytes: 2 ** 24,
      maxModelLength: 64,
      threads: 1,
      enablePrefixCaching: false,
      evictionPolicy: 'lru',
      schedulingPolicy: 'fcfs',
      longPrefillThreshold: 0,
      kvMetricsSampleRate: 0,
    });
    onTestFinished(() => runner.dispose());
    const width = info.hiddenSize;
    const sums = new Float64Array(width * width);
    for (const prompt of prompts) {
      const blocks = Math.ceil(prompt.length / BLOCK_SIZE);
      const sequence = {
        id: 'a' as SequenceId,
        tokenIds: prompt as TokenId[],
        numComputed: 0,
        numProposed: 0,
        adapter: null,
        sequenceLength: prompt.length,
        blockTables: Array.from({ length: GROUPS }, (_, group) =>
          Array.from({ length: blocks }, (__, i) => (group * blocks + i) as BlockId),
        ),
        sampledFor: [],
      };
      const plan = { sequences: [sequence], numTokens: prompt.length, blockCopies: [] };
      const query = { ...fullRowsOf(plan), hiddenRows: [...prompt.keys()] };
      addProducts(sums, (await runner.execute(plan, query)).hidden, width);
    }
    expectNear([...seen.values()].at(-1), sums);
  },
);
