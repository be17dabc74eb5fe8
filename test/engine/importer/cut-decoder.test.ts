import { create, toBinary } from '@bufbuild/protobuf';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { ReferenceAttention } from '../../../engine/attention/reference-attention.js';
import { fullRowsOf } from '../../../engine/decoding/logits-query.js';
import { importModel } from '../../../engine/importer/import-model.js';
import type { ImportedModel } from '../../../engine/importer/imported-model.js';
import { MICROSOFT } from '../../../engine/importer/onnx/nodes.js';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  ModelProtoSchema,
  TensorProto_DataType,
  TensorProtoSchema,
} from '../../../engine/importer/onnx/onnx_pb.js';
import { SegmentRunner } from '../../../engine/runner/segment-runner.js';
import type { BlockId } from '../../../kvcache/ids.js';
import type { SequenceId, TokenId } from '../../../scheduler/ids.js';
import type { ScheduledSequence, StepPlan } from '../../../scheduler/step-plan.js';
import { modelDir } from '../../support/model-dir.js';
import { type DecoderOptions, TINY, tinyDecoder } from '../../support/tiny-decoder.js';

const BLOCK = 4;
const TOKENS = Array.from({ length: 23 }, (_, i) => (i * 11 + 3) % TINY.vocab);

const ints = (values: readonly number[]): Tensor =>
  new Tensor('int64', BigInt64Array.from(values.map(BigInt)), [1, values.length]);

/** The whole graph in ONNX Runtime with its own attention: logits of the last of `tokens`. */
async function uncut(bytes: Uint8Array, tokens: readonly number[]): Promise<Float32Array> {
  const session = await InferenceSession.create(bytes);
  const feeds: Record<string, Tensor> = {
    input_ids: ints(tokens),
    position_ids: ints(tokens.map((_, i) => i)),
    attention_mask: ints(tokens.map(() => 1)),
  };
  for (const name of session.inputNames) {
    if (name.startsWith('past')) {
      feeds[name] = new Tensor('float32', new Float32Array(0), [1, TINY.kvHeads, 0, TINY.headSize]);
    }
  }
  const known = Object.fromEntries(session.inputNames.map((name) => [name, feeds[name]]));
  const { logits } = await session.run(known, ['logits']);
  return (logits.data as Float32Array).slice(-TINY.vocab);
}

async function withRunner<T>(
  model: ImportedModel,
  use: (run: (plan: StepPlan) => Promise<Float32Array>) => Promise<T>,
): Promise<T> {
  const attention = new ReferenceAttention({
    layers: model.sites,
    numBlocks: 32,
    blockSize: BLOCK,
    kvDtype: 'f32',
    threads: 1,
  });
  // An unwritten or foreign slot must be seen.
  for (const { key, value } of attention.pages.slots) {
    key.fill(Number.NaN);
    value.fill(Number.NaN);
  }
  const runner = await SegmentRunner.create(model, attention, { threads: 1 });
  try {
    return await use(async (step) => (await runner.execute(step, fullRowsOf(step))).fullLogits);
  } finally {
    await runner.dispose();
  }
}

/**
 * A piece of a sequence whose blocks are every third one from `firstBlock` on, so that they are
 * scattered.
 */
function piece(
  tokens: readonly number[],
  from: number,
  to: number,
  firstBlock: number,
): ScheduledSequence {
  const blocks = Array.from(
    { length: Math.ceil(to / BLOCK) },
    (_, i) => (firstBlock + 3 * i) as BlockId,
  );
  return {
    id: `${firstBlock}` as SequenceId,
    tokenIds: tokens.slice(from, to) as TokenId[],
    numComputed: from,
    numProposed: 0,
    adapter: null,
    sequenceLength: to,
    blockTables: [blocks],
    sampledFor: [`${firstBlock}` as SequenceId],
  };
}

function plan(...sequences: ScheduledSequence[]): StepPlan {
  const numTokens = sequences.reduce((n, s) => n + s.tokenIds.length, 0);
  return { sequences, numTokens, blockCopies: [] };
}

function expectClose(actual: Float32Array, expected: Float32Array): void {
  expect(actual.length).toBe(expected.length);
  const worst = Math.max(...actual.map((x, i) => Math.abs(x - expected[i])));
  expect(worst).toBeLessThan(1e-4);
}

const FORMS: Record<string, DecoderOptions> = {
  'separate query, key and value': {},
  'packed query, key and value': { packed: true },
  'rotation in the node, halves': { rotary: 'halves' },
  'rotation in the node, interleaved': { rotary: 'interleaved' },
  'an output of attention that is read again layers later': { readsAgain: true },
  'packed, rotation in the node': { packed: true, rotary: 'halves' },
  'a scale of its own': { attributes: { scale: { float: 0.3 } } },
  softcap: { attributes: { softcap: { float: 1.5 }, scale: { float: 1 } } },
  'a sliding window': { attributes: { local_window_size: 6 } },
  'attention sinks': { sinks: true },
};

describe('a decoder that was cut at its attention', () => {
  it.each(Object.entries(FORMS))('computes what the whole graph does: %s', async (_, options) => {
    const bytes = tinyDecoder(options).bytes();
    const model = await importModel({ modelDir: modelDir({ 'model.onnx': bytes }) });
    await withRunner(model, async (run) => {
      // A prompt in two pieces, then decodes.
      await run(plan(piece(TOKENS, 0, 7, 0)));
      expectClose(
        await run(plan(piece(TOKENS, 7, 18, 0))),
        await uncut(bytes, TOKENS.slice(0, 18)),
      );
      for (let n = 19; n <= TOKENS.length; n++) {
        const logits = await run(plan(piece(TOKENS, n - 1, n, 0)));
        expectClose(logits, await uncut(bytes, TOKENS.slice(0, n)));
      }
    });
  });

  it('computes what the whole graph does: a 4-bit LM head with capped logits', async () => {
    const b = tinyDecoder();
    const head = b.nodes.find(({ name }) => name === 'head');
    if (!head) throw new Error('no head');
    head.domain = MICROSOFT;
    head.opType = 'MatMulNBits';
    // Blocks of 16 weights along the 24 inputs: two a row, 8 bytes each.
    const packed = Uint8Array.from({ length: TINY.vocab * 16 }, (_, i) => (i * 37) % 256);
    b.weights.push(
      create(TensorProtoSchema, {
        name: 'head/packed',
        dims: [BigInt(TINY.vocab), 2n, 8n],
        dataType: TensorProto_DataType.UINT8,
        rawData: packed,
      }),
    );
    head.input.splice(1, 1, 'head/packed', b.weight('head/scales', [TINY.vocab * 2]));
    const sizes = { K: TINY.hidden, N: TINY.vocab, bits: 4, block_size: 16 };
    for (const [name, value] of Object.entries(sizes)) {
      const type = AttributeProto_AttributeType.INT;
      head.attribute.push(create(AttributeProtoSchema, { name, type, i: BigInt(value) }));
    }
    head.output[0] = 'head/out';
    const cap = b.weight('cap', [], Float32Array.of(3));
    const small = b.node('Div', 'cap/small', ['head/out', cap]);
    const bent = b.node('Tanh', 'cap/bent', [small]);
    b.node('Mul', 'cap/large', [cap, bent], { outputs: ['logits'] });
    const built = b.build();
    // Neither the graph's output nor a weight of two dimensions states the vocabulary: the node
    // does.
    for (const output of built.graph?.output ?? []) {
      if (output.name === 'logits' && output.type?.value.case === 'tensorType') {
        delete output.type.value.value.shape;
      }
    }
    const bytes = toBinary(ModelProtoSchema, built);
    const model = await importModel({ modelDir: modelDir({ 'model.onnx': bytes }) });
    expect(model.vocabSize).toBe(TINY.vocab);
    await withRunner(model, async (run) => {
      await run(plan({ ...piece(TOKENS, 0, 8, 0), sampledFor: [] }));
      const rows = await run(plan(piece(TOKENS, 8, 12, 0), piece(TOKENS, 0, 6, 1)));
      expectClose(rows.slice(0, TINY.vocab), await uncut(bytes, TOKENS.slice(0, 12)));
      expectClose(rows.slice(TINY.vocab), await uncut(bytes, TOKENS.slice(0, 6)));
    });
  });

  it('keeps the sequences of a mixed batch apart', async () => {
    const bytes = tinyDecoder().bytes();
    const model = await importModel({ modelDir: modelDir({ 'model.onnx': bytes }) });
    const other = TOKENS.map((token) => (token * 3 + 1) % TINY.vocab);
    await withRunner(model, async (run) => {
      await run(plan(piece(TOKENS, 0, 9, 0)));
      const rows = await run(
        plan(piece(TOKENS, 9, 10, 0), piece(other, 0, 13, 1), piece(TOKENS, 0, 5, 2)),
      );
      expectClose(rows.slice(0, TINY.vocab), await uncut(bytes, TOKENS.slice(0, 10)));
      expectClose(rows.slice(TINY.vocab, 2 * TINY.vocab), await uncut(bytes, other.slice(0, 13)));
      expectClose(rows.slice(2 * TINY.vocab), await uncut(bytes, TOKENS.slice(0, 5)));
    });
  });

  it('computes logits of sampled rows only, and none in the middle of a prompt', async () => {
    const bytes = tinyDecoder().bytes();
    const model = await importModel({ modelDir: modelDir({ 'model.onnx': bytes }) });
    await withRunner(model, async (run) => {
      const unsampled = { ...piece(TOKENS, 0, 8, 0), sampledFor: [] };
      expect(await run(plan(unsampled))).toHaveLength(0);
      const rows = await run(
        plan({ ...piece(TOKENS, 8, 12, 0), sampledFor: [] }, piece(TOKENS, 0, 6, 1)),
      );
      expectClose(rows, await uncut(bytes, TOKENS.slice(0, 6)));
    });
  });
});
