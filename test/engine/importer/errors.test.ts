import { mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { WireType } from '@bufbuild/protobuf/wire';
import { Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { OnnxBuilder } from '../../../bench/models/onnx-builder.js';
import { importModel } from '../../../engine/importer/import-model.js';
import { STEP_OUTPUT } from '../../../engine/importer/imported-model.js';
import { formatReport } from '../../../engine/importer/inspect.js';
import {
  type ModelProto,
  ModelProtoSchema,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation,
  TensorProto_DataType,
} from '../../../engine/importer/onnx/onnx_pb.js';
import { exportDir } from '../../support/export-fixtures.js';
import { modelDir } from '../../support/model-dir.js';
import { tinyDecoder } from '../../support/tiny-decoder.js';
import { firstSession } from './first-session.js';
import { failure, importFailure } from './import-failure.js';

/** The test decoder with its embedding moved to a file of its own. */
function withExternalData(location: string, length: number, offset = 0): ModelProto {
  const model = tinyDecoder().build();
  const tensor = model.graph?.initializer.find(({ name }) => name === 'embedding');
  if (!tensor) throw new Error('no embedding');
  tensor.rawData = new Uint8Array();
  tensor.dataLocation = TensorProto_DataLocation.EXTERNAL;
  tensor.externalData = Object.entries({ location, offset, length }).map(([key, value]) =>
    create(StringStringEntryProtoSchema, { key, value: String(value) }),
  );
  return model;
}

const encode = (model: ModelProto): Uint8Array => toBinary(ModelProtoSchema, model);

describe('importing what is not a model', () => {
  it('names the paths that were tried', async () => {
    const { kind, message } = await importFailure(modelDir({}));
    expect(kind).toBe('model_file_missing');
    expect(message).toContain('looked for onnx/model.onnx, model.onnx');
  });

  it('refuses a file that was cut short, wherever it was cut', async () => {
    const bytes = tinyDecoder().bytes();
    for (const share of [0, 0.001, 0.1, 0.5, 0.9, 0.999]) {
      const cut = bytes.slice(0, Math.floor(bytes.length * share));
      expect((await failure(cut)).kind).toBe('model_file_corrupt');
    }
  });

  it('refuses garbage, text, and a protobuf of another kind', async () => {
    const garbage = Uint8Array.from({ length: 5000 }, (_, i) => (i * 7919) % 251);
    const lfs = new TextEncoder().encode(
      'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n',
    );
    for (const bytes of [garbage, lfs, Uint8Array.of(8, 1)]) {
      const { kind, message } = await failure(bytes);
      expect(kind).toBe('model_file_corrupt');
      expect(message).toContain('model.onnx');
    }
  });

  it('refuses a graph with a cycle, and one that reads what nothing makes', async () => {
    const cyclic = tinyDecoder();
    cyclic.node('Add', 'a', ['b/out', 'b/out']);
    cyclic.node('Add', 'b', ['a/out', 'a/out']);
    expect((await failure(cyclic.bytes())).message).toMatch(/nodes around . form a cycle/);
    const dangling = tinyDecoder();
    dangling.node('Neg', 'n', ['nowhere']);
    expect((await failure(dangling.bytes())).message).toContain('node n reads nowhere');
  });
});

describe('importing what is not supported', () => {
  it('says which attention it found and what to export instead', async () => {
    const decoder = (build: (b: OnnxBuilder) => void): Uint8Array => {
      const b = new OnnxBuilder();
      b.input('input_ids', TensorProto_DataType.INT64, ['b', 's']);
      build(b);
      b.output('logits', TensorProto_DataType.FLOAT, ['b', 's', 4]);
      return b.bytes();
    };
    for (const form of ['DecoderAttention', 'DecoderMaskedMultiHeadAttention', 'QAttention']) {
      const foreign = await failure(
        decoder((b) => b.contrib(form, 'old', ['input_ids'], {}, ['logits'])),
      );
      expect(foreign.kind).toBe('model_unsupported');
      expect(foreign.message).toContain(`${form} (node old)`);
      expect(foreign.message).toMatch(
        /Recognized forms: GroupQueryAttention, MultiHeadAttention, Attention, decomposed.*model builder/,
      );
    }

    const packed = await failure(
      decoder((b) => b.contrib('MultiHeadAttention', 'mha', ['input_ids'], {}, ['logits'])),
    );
    expect(packed.message).toMatch(/node mha \(MultiHeadAttention\): .* packed .*model builder/);

    const pastless = await failure(
      decoder((b) => b.node('Softmax', 'attn/softmax', ['input_ids'], { outputs: ['logits'] })),
    );
    expect(pastless.message).toMatch(/node attn\/softmax\).*text-generation-with-past/);

    const bag = await failure(
      decoder((b) => b.node('Neg', 'neg', ['input_ids'], { outputs: ['logits'] })),
    );
    expect(bag.message).toContain('not a decoder with a KV cache');
  });

  it('refuses a graph that needs the mask outside of attention', async () => {
    const b = tinyDecoder();
    const mask = b.node('Cast', 'mask/float', ['attention_mask'], { attributes: { to: 1 } });
    const sum = b.node('ReduceSum', 'mask/scale', [mask], { attributes: { keepdims: 0 } });
    const q = b.nodes.find(({ name }) => name === 'l0/q');
    if (q) q.input[0] = b.node('Mul', 'odd', [q.input[0], sum]);
    const { kind, message } = await failure(b.bytes());
    expect(kind).toBe('model_unsupported');
    expect(message).toMatch(/mask\/float \(Cast\) needs attention_mask outside of attention/);
  });
});

describe('external data', () => {
  const BYTES = 40 * 24 * 4;

  it('is used in place', async () => {
    const directory = modelDir({
      'model.onnx': encode(withExternalData('weights.bin', BYTES, 64)),
      'weights.bin': new Uint8Array(64 + BYTES),
    });
    const model = await importModel({ modelDir: directory });
    const session = await firstSession(model);
    expect(readdirSync(directory)).toEqual(['model.onnx', 'weights.bin']);
    const ids = new Tensor('int64', BigInt64Array.of(1n, 2n), [1, 2]);
    expect((await session.run({ input_ids: ids }))['l0/q/out'].dims).toEqual([1, 2, 128]);
    await session.release();
  });

  it('is refused when it is missing, too short, or outside of the directory', async () => {
    const missing = await failure(encode(withExternalData('weights.bin', BYTES)));
    expect(missing.message).toContain('weights.bin is missing');
    const short = modelDir({
      'model.onnx': encode(withExternalData('weights.bin', BYTES, 8)),
      'weights.bin': new Uint8Array(BYTES),
    });
    expect((await importFailure(short)).message).toContain(`has only ${BYTES} bytes`);
    for (const location of ['../secret', '/etc/passwd', 'a/../../secret', '']) {
      const { kind, message } = await failure(encode(withExternalData(location, BYTES)));
      expect(kind).toBe('model_file_corrupt');
      expect(message).toContain("outside the model's directory");
    }
  });

  it('may begin beyond 4 GiB', async () => {
    const offset = 5 * 2 ** 30;
    const directory = modelDir({
      'model.onnx': encode(withExternalData('big.bin', BYTES, offset)),
      'big.bin': '',
    });
    // Sparse: it takes no space.
    truncateSync(join(directory, 'big.bin'), offset + BYTES);
    const model = await importModel({ modelDir: directory });
    expect(model.vocabSize).toBe(40);
  });
});

describe('a model of 5 GB', () => {
  it('is imported in seconds, its attention run on random numbers: no weight is read', async () => {
    const bytes = readFileSync(join(exportDir('optimum', 'llama3'), 'model.onnx'));
    const model = fromBinary(ModelProtoSchema, bytes);
    const table = model.graph?.initializer.find(({ name }) => name === 'model.embed_tokens.weight');
    if (!table) throw new Error('no embedding');
    table.dims = [20_000_000n, 64n];
    table.rawData = new Uint8Array();
    table.dataLocation = TensorProto_DataLocation.EXTERNAL;
    const length = 20_000_000 * 64 * 4;
    table.externalData = Object.entries({ location: 'model.onnx_data', length }).map(
      ([key, value]) => create(StringStringEntryProtoSchema, { key, value: String(value) }),
    );
    const directory = modelDir({ 'model.onnx': encode(model), 'model.onnx_data': '' });
    truncateSync(join(directory, 'model.onnx_data'), length);
    const memory = process.memoryUsage().rss;
    const imported = await importModel({ modelDir: directory, maxLength: 131_072 });
    expect(process.memoryUsage().rss - memory).toBeLessThan(2 ** 30);
    expect(imported.report.weightBytes).toBeGreaterThan(length);
  });
});

describe('the report', () => {
  it('shows sites, weights and rewrites', async () => {
    const model = await importModel({
      modelDir: modelDir({ 'model.onnx': tinyDecoder({ packed: true }).bytes() }),
    });
    const text = formatReport(model);
    expect(text).toContain('2 attention sites');
    expect(text).toMatch(/0 +GroupQueryAttention +4 +2 +32 +0\.1768 +- +l0\/attention/);
    expect(text).toContain('3 segments');
    expect(text).toMatch(/tokens in a step +any number/);
    expect(text).toContain('split the packed query, key and value of 2 nodes');
    expect(text).toContain('kept only sampled rows before the LM head head');
    expect(text).toMatch(/weights +79\.5 KiB \(int64 16 B, float 79\.5 KiB\)/);
  });

  it('shows what the embedded model is', async () => {
    const directory = fileURLToPath(new URL('../../../models/octavo-tiny', import.meta.url));
    const model = await importModel({ modelDir: directory });
    expect(model.sites.map(({ layer }) => layer)).toEqual([0, 1, 2, 3, 4]);
    expect(model.segments.map((segment) => typeof segment.model)).toEqual(Array(6).fill('object'));
    // Query, key and value of a layer, and the residual sum that skips its attention.
    for (const { outputs } of model.segments.slice(1, -1)) {
      expect(outputs).toHaveLength(4);
      expect(outputs[3]).toContain('SkipLayerNorm/output_3');
    }
    expect(model.segments[5].inputs).toContain('octavo.sample_rows');
    expect(model.segments[5].outputs).toEqual(Object.values(STEP_OUTPUT));
    expect(formatReport(model)).toMatch(/tokens in a step +at most 2048/);
  });

  it('keeps fields of the protobuf that it does not know', () => {
    const model = tinyDecoder().build();
    model.$unknown = [{ no: 9999, wireType: WireType.Varint, data: Uint8Array.of(7) }];
    expect(fromBinary(ModelProtoSchema, encode(model)).$unknown).toHaveLength(1);
  });

  it('finds a model in onnx/', async () => {
    const directory = modelDir({});
    mkdirSync(join(directory, 'onnx'));
    writeFileSync(join(directory, 'onnx', 'model.onnx'), tinyDecoder().bytes());
    expect((await importModel({ modelDir: directory })).report.file).toContain('onnx/model.onnx');
  });

  it('takes another file of the directory by name', async () => {
    const directory = modelDir({ 'other.onnx': tinyDecoder().bytes() });
    const model = await importModel({ modelDir: directory, file: 'other.onnx' });
    expect(model.report.file).toBe(join(directory, 'other.onnx'));
    await expect(importModel({ modelDir: directory, file: 'absent.onnx' })).rejects.toThrow(
      'looked for absent.onnx',
    );
  });
});
