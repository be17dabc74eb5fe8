import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createDeviceSession } from '../../../engine/device/device-session.js';
import { Graph } from '../../../engine/importer/graph.js';
import {
  STEP_INPUT as IN,
  LOGITS,
  STEP_OUTPUT as OUT,
} from '../../../engine/importer/imported-model.js';
import { makeValueInfo } from '../../../engine/importer/onnx/nodes.js';
import {
  GraphProtoSchema,
  ModelProtoSchema,
  OperatorSetIdProtoSchema,
  TensorProto_DataType as Type,
} from '../../../engine/importer/onnx/onnx_pb.js';
import { topInBlocks } from '../../../engine/importer/passes/top-in-blocks.js';
import { writeModel } from '../../../engine/importer/write-model.js';
import { DEVICE_TIMEOUT_MS, hasWebGpu } from '../../support/webgpu.js';

const IDS = 'ids';
const isThere = await hasWebGpu();

function rankingModel(vocabSize: number, opset: bigint): Uint8Array {
  const ints = [IN.topK, IN.targetIds].map((name) => makeValueInfo(name, Type.INT64));
  const model = create(ModelProtoSchema, {
    irVersion: 8n,
    opsetImport: [create(OperatorSetIdProtoSchema, { domain: '', version: opset })],
    graph: create(GraphProtoSchema, {
      name: 'ranking',
      input: [makeValueInfo(LOGITS, Type.FLOAT), ...ints],
      output: [makeValueInfo(OUT.topLogits, Type.FLOAT), makeValueInfo(IDS, Type.INT64)],
    }),
  });
  const graph = new Graph(model, 'test');
  graph.addNodes(...(topInBlocks(graph, vocabSize, IDS) ?? []));
  return writeModel(graph);
}

async function rank(session: InferenceSession, rows: readonly Float32Array[], topK: number) {
  const vocab = rows[0].length;
  const logits = new Float32Array(rows.length * vocab);
  for (const [i, row] of rows.entries()) logits.set(row, i * vocab);
  const targets = BigInt64Array.from(rows, (_, i) => BigInt(i));
  const results = await session.run({
    [LOGITS]: new Tensor('float32', logits, [1, rows.length, vocab]),
    [IN.topK]: new Tensor('int64', BigInt64Array.of(BigInt(topK)), [1]),
    [IN.targetIds]: new Tensor('int64', targets, [1, rows.length, 1]),
  });
  const ids = Array.from(results[IDS].data as BigInt64Array, Number);
  const top = Array.from(results[OUT.topLogits].data as Float32Array);
  return rows.map((_, i) => ({
    ids: ids.slice(i * topK, (i + 1) * topK),
    logits: top.slice(i * topK, (i + 1) * topK),
  }));
}

function sorted(row: Float32Array, topK: number) {
  const ids = [...row.keys()].sort((a, b) => row[b] - row[a] || a - b).slice(0, topK);
  return { ids, logits: ids.map((id) => row[id]) };
}

/** Few different numbers, so that most are equal to others. */
const rowsOf = (vocab: number) =>
  fc.array(
    fc
      .record({ seed: fc.nat(), values: fc.constantFrom(2, 50, 100_000) })
      .map(({ seed, values }) =>
        Float32Array.from(
          { length: vocab },
          (_, i) => ((Math.imul(i + seed, 2654435761) >>> 8) % values) - values / 2,
        ),
      ),
    { minLength: 1, maxLength: 4 },
  );

describe('the largest logits, searched in blocks', () => {
  it('is a single TopK for rows that a device sorts at once', () => {
    const graph = new Graph(create(ModelProtoSchema, { graph: create(GraphProtoSchema, {}) }), '');
    expect(topInBlocks(graph, 2048, IDS)).toBeNull();
    expect(topInBlocks(graph, 2049, IDS)).not.toBeNull();
  });

  it.each([
    [4099, 17n],
    [8192, 21n],
  ])('are those of the whole row, of %i, in operator set %i', async (vocab, opset) => {
    const session = await InferenceSession.create(rankingModel(vocab, opset));
    onTestFinished(() => session.release());
    await fc.assert(
      fc.asyncProperty(rowsOf(vocab), fc.constantFrom(1, 7, 128, 2050), async (rows, topK) => {
        expect(await rank(session, rows, topK)).toEqual(rows.map((row) => sorted(row, topK)));
      }),
      { numRuns: 12, seed: 20261201 },
    );
  });

  it.skipIf(!isThere)('are the same on a device', { timeout: DEVICE_TIMEOUT_MS }, async () => {
    const session = await createDeviceSession(rankingModel(4099, 21n));
    onTestFinished(() => session.release());
    for (const [rows] of fc.sample(fc.tuple(rowsOf(4099)), { numRuns: 3, seed: 3 })) {
      for (const topK of [1, 128]) {
        expect(await rank(session, rows, topK)).toEqual(rows.map((row) => sorted(row, topK)));
      }
    }
  });
});
