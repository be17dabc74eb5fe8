import { readdirSync, readFileSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { externalFiles } from '../../../engine/importer/external-files.js';
import {
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  SparseTensorProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
  TensorProtoSchema,
} from '../../../engine/importer/onnx/onnx_pb.js';
import { modelDir } from '../../support/model-dir.js';
import { processorMs } from '../../support/processor-time.js';
import { tinyDecoder } from '../../support/tiny-decoder.js';

const MODELS = fileURLToPath(new URL('../../fixtures/exports/models', import.meta.url));

function tensor(location: string, dataLocation = TensorProto_DataLocation.EXTERNAL): TensorProto {
  const entries = { offset: '0', location, length: '4' };
  return create(TensorProtoSchema, {
    name: 'weight',
    dims: [1n],
    dataType: 1,
    dataLocation,
    externalData: Object.entries(entries).map(([key, value]) =>
      create(StringStringEntryProtoSchema, { key, value }),
    ),
  });
}

describe('names of external data', () => {
  it('are found wherever a tensor can lie', () => {
    const inner = create(GraphProtoSchema, { initializer: [tensor('in-branch')] });
    const attribute = (name: string, content: object): object =>
      create(AttributeProtoSchema, { name, ...content });
    const node = create(NodeProtoSchema, {
      opType: 'If',
      attribute: [
        attribute('value', { t: tensor('in-attribute') }),
        attribute('values', { tensors: [tensor('in-attribute'), tensor('in-list')] }),
        attribute('then_branch', { g: inner }),
        attribute('branches', {
          graphs: [create(GraphProtoSchema, { initializer: [tensor('in-graphs')] })],
        }),
        attribute('sparse', {
          sparseTensor: create(SparseTensorProtoSchema, { values: tensor('in-sparse') }),
        }),
      ] as never,
    });
    const model = create(ModelProtoSchema, {
      graph: create(GraphProtoSchema, {
        node: [node],
        initializer: [
          tensor('ünï/weights.bin'),
          tensor('unused', TensorProto_DataLocation.DEFAULT),
        ],
      }),
    });
    const directory = modelDir({ 'model.onnx': toBinary(ModelProtoSchema, model) });
    expect(externalFiles(join(directory, 'model.onnx')).sort()).toEqual(
      ['in-attribute', 'in-branch', 'in-graphs', 'in-list', 'in-sparse', 'ünï/weights.bin'].sort(),
    );
  });

  it('are those that the whole protobuf states, for every export here', () => {
    const files = readdirSync(MODELS, { recursive: true })
      .map(String)
      .filter((name) => name.endsWith('.onnx'));
    expect(files.length).toBeGreaterThan(40);
    for (const name of files) {
      const file = join(MODELS, name);
      const { graph } = fromBinary(ModelProtoSchema, readFileSync(file));
      const stated = (graph?.initializer ?? []).flatMap(({ dataLocation, externalData }) =>
        dataLocation === TensorProto_DataLocation.EXTERNAL
          ? externalData.filter(({ key }) => key === 'location').map(({ value }) => value)
          : [],
      );
      expect(externalFiles(file).sort()).toEqual([...new Set(stated)].sort());
    }
  });

  it('are found in a file of 6 GB without reading its weights', async () => {
    const bytes = tinyDecoder().bytes();
    // A graph may be followed by another field: 6 GB of a tensor that no reader knows.
    const length = 6 * 2 ** 30;
    const varint = [];
    for (let rest = length; rest > 0; rest = Math.floor(rest / 128))
      varint.push((rest % 128) + 128);
    varint[varint.length - 1] -= 128;
    const directory = modelDir({
      'model.onnx': Buffer.concat([bytes, Uint8Array.of(0xfa, 0x3e, ...varint)]),
    });
    const file = join(directory, 'model.onnx');
    truncateSync(file, statSync(file).size + length);
    const memory = process.memoryUsage().rss;
    expect(await processorMs(() => expect(externalFiles(file)).toEqual([]))).toBeLessThan(1000);
    expect(process.memoryUsage().rss - memory).toBeLessThan(64 * 2 ** 20);
    truncateSync(file, statSync(file).size - 1);
    expect(() => externalFiles(file)).toThrow(/model\.onnx: is not a complete ONNX protobuf/);
  });

  it('are refused with the file in what is no protobuf, cut anywhere or full of garbage', () => {
    const bytes = tinyDecoder().bytes();
    let seed = 3;
    for (let i = 0; i < 300; i++) {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      const damaged = i < 100 ? bytes.slice(0, seed % bytes.length) : bytes.slice();
      if (i >= 100) damaged[seed % 4000] = seed >>> 24;
      const file = join(modelDir({ 'model.onnx': damaged }), 'model.onnx');
      try {
        externalFiles(file);
      } catch (error) {
        expect(error).toMatchObject({ kind: 'model_file_corrupt' });
        expect((error as Error).message).toMatch(/^\S+model\.onnx: .*[^\n]$/);
      }
    }
    expect(() => externalFiles('/absent.onnx')).toThrow('/absent.onnx: cannot be read');
  });
});
