import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import {
  ModelProtoSchema,
  TensorProtoSchema,
  TensorProto_DataType as Type,
} from '../../../engine/importer/onnx/onnx_pb.js';
import { readFloats } from '../../../engine/importer/tensor-data.js';
import { planCache } from '../../../engine/recurrent/cache-plan.js';
import type { LoadedEngine } from '../../../engine/thread/load-engine.js';
import type { TokenId } from '../../../scheduler/ids.js';
import { plainLayer } from '../../support/attention-cases.js';
import { CoreHarness } from '../../support/core-harness.js';
import { exportDir } from '../../support/export-fixtures.js';
import { modelDir } from '../../support/model-dir.js';
import { loadTiny, runAll, tinyRequest, tokensOf } from '../../support/octavo-tiny.js';
import { range } from '../../support/sequences.js';

// The second turn of a conversation of 2,000 tokens: nearly all of its prompt is in the cache.
const FIRST = 1900;
const QUESTION = 40;
const SHARE = 0.95;

/** As a chat's prompts are: any tokens, none twice in a row. */
const promptOf = (length: number, vocab: number): number[] =>
  range(0, length).map((i) => 3 + ((i * 37 + (i % 11) * 5) % (vocab - 3)));

const SIZES = {
  blockSize: 16,
  kvDtype: 'f32',
  maxModelLength: 4096,
  maxNumBatchedTokens: 512,
} as const;
const states = (count: number, floats: number) =>
  Array.from({ length: count }, () => ({ stateBytes: 4 * floats }));
const layers = (count: number, ...[size, heads]: [number, number]) =>
  Array.from({ length: count }, () => plainLayer(size, { numKvHeads: heads }));

describe.each([
  ['LFM2 1.2B', layers(6, 64, 8), states(10, 2 * 2048)],
  ['Qwen 3.5 0.8B', layers(6, 256, 2), states(18, 16 * 128 * 128 + 3 * 6144)],
] as const)('the cache of %s', (_name, attention, recurrent) => {
  it.each([3, 100])('has the first turn, of %i generated tokens', async (generated) => {
    const { groups } = planCache(attention, SIZES, recurrent);
    const h = new CoreHarness({
      vocabSize: 50,
      groups,
      numBlocks: 4000,
      ...SIZES,
      checkEvery: 50,
    });
    const prompt = promptOf(FIRST, 50);
    h.add('first', prompt, generated);
    await h.runToEnd();
    const second = [...prompt, ...(h.texts.get('first') ?? []), ...promptOf(QUESTION, 50)];
    h.add('second', second, 2);
    await h.runToEnd();
    const cached = h.first.get('second')?.cachedTokens ?? 0;
    expect(cached / second.length).toBeGreaterThan(SHARE);
  });
});

/** LFM2's fixture with rotary tables of 4,096 positions instead of 256. */
function longLfm2(): string {
  const source = exportDir('genai-0.18', 'lfm2');
  const model = fromBinary(ModelProtoSchema, readFileSync(join(source, 'model.onnx')));
  const tables = new Set(
    model.graph?.node.flatMap(({ opType, input }) =>
      opType === 'GroupQueryAttention' ? input.slice(7, 9) : [],
    ),
  );
  const named = (kind: string) =>
    model.graph?.initializer.find(({ name }) => tables.has(name) && name.includes(kind));
  const [cos, sin] = ['cos', 'sin'].map((kind) => {
    const table = named(kind);
    if (!table) throw new Error(`no ${kind} table`);
    return { table, values: readFloats(table, source) };
  });
  const width = Number(cos.table.dims[1]);
  // Angles of the second position, whose cosine and sine the table has.
  const angles = range(0, width).map((i) =>
    Math.atan2(sin.values[width + i], cos.values[width + i]),
  );
  for (const [of, { table }] of [
    [Math.cos, cos],
    [Math.sin, sin],
  ] as const) {
    const floatData = range(0, 4096).flatMap((p) => angles.map((angle) => of(p * angle)));
    const { name } = table;
    const longer = { name, dataType: Type.FLOAT, dims: [4096n, BigInt(width)], floatData };
    model.graph?.initializer.splice(
      model.graph.initializer.indexOf(table),
      1,
      create(TensorProtoSchema, longer),
    );
  }
  const config = readFileSync(join(source, 'genai_config.json'), 'utf8');
  return modelDir({
    'model.onnx': toBinary(ModelProtoSchema, model),
    'genai_config.json': config.replaceAll('256', '4096'),
  });
}

describe('LFM2, by the whole engine', () => {
  it('computes a twentieth of the second turn, and says what it says without a cache', async () => {
    const directory = longLfm2();
    const load = (enablePrefixCaching: boolean): Promise<LoadedEngine> =>
      loadTiny({ modelDir: directory, enablePrefixCaching, threads: 1 });
    const engine = await load(true);
    const plain = await load(false);
    try {
      const prompt = promptOf(FIRST, 128) as TokenId[];
      const first = await runAll(engine, [tinyRequest('first', prompt, { maxTokens: 100 })]);
      const question = promptOf(QUESTION, 128) as TokenId[];
      const second = [...prompt, ...tokensOf(first.get('first')), ...question];
      const request = tinyRequest('second', second, { maxTokens: 16 });
      const output = (await runAll(engine, [request])).get('second');
      const cached = output?.[0].cachedTokens ?? 0;
      expect(cached / second.length).toBeGreaterThan(SHARE);
      const expected = (await runAll(plain, [request])).get('second');
      expect(expected?.[0].cachedTokens).toBe(0);
      expect(tokensOf(output)).toEqual(tokensOf(expected));
    } finally {
      await engine.runner.dispose();
      await plain.runner.dispose();
    }
  });
});
