import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it, onTestFinished } from 'vitest';
import { intAttribute, setIntAttribute } from '../../../engine/importer/onnx/nodes.js';
import {
  type GraphProto,
  ModelProtoSchema,
  TensorProto_DataType,
  TensorProtoSchema,
} from '../../../engine/importer/onnx/onnx_pb.js';
import { ExportRunner, exportDir, readGolden } from '../../support/export-fixtures.js';
import { modelDir } from '../../support/model-dir.js';
import { uncutLogits } from '../../support/uncut-export.js';
import { importFailure } from './import-failure.js';

/** A directory with an export whose graph was changed. */
function changed(exporter: string, family: string, change: (graph: GraphProto) => void): string {
  const directory = exportDir(exporter, family);
  const model = fromBinary(ModelProtoSchema, readFileSync(join(directory, 'model.onnx')));
  if (!model.graph) throw new Error('no graph');
  change(model.graph);
  return modelDir({
    'model.onnx': toBinary(ModelProtoSchema, model),
    'config.json': readFileSync(join(directory, 'config.json')),
  });
}

describe('MultiHeadAttention with a bias', () => {
  it('adds it to query, key and value', async () => {
    const directory = changed('genai-mha', 'llama2', (graph) => {
      const nodes = graph.node.filter(({ opType }) => opType === 'MultiHeadAttention');
      nodes.forEach((node, layer) => {
        const values = Float32Array.from({ length: 3 * 64 }, (_, i) => Math.sin(i * (layer + 1)));
        const name = `bias${layer}`;
        graph.initializer.push(
          create(TensorProtoSchema, {
            name,
            dims: [BigInt(values.length)],
            dataType: TensorProto_DataType.FLOAT,
            rawData: new Uint8Array(values.buffer),
          }),
        );
        node.input[3] = name;
      });
    });
    const runner = await ExportRunner.load(directory);
    onTestFinished(() => runner.dispose());
    const { prompts, logits } = readGolden('llama2');
    const [{ first }] = await runner.generate([prompts[1]], 1, 24);
    const expected = await uncutLogits(join(directory, 'model.onnx'), prompts[1]);
    const apart = (a: Float32Array, b: Float32Array): number =>
      a.reduce((max, x, i) => Math.max(max, Math.abs(x - b[i])), 0);
    expect(apart(first, expected)).toBeLessThan(1e-3);
    expect(apart(first, logits[1][0])).toBeGreaterThan(0.1);
  });
});

describe('com.microsoft.Attention', () => {
  const refused = async (change: (graph: GraphProto) => void): Promise<string> => {
    const { kind, message } = await importFailure(changed('ort-fused', 'gpt2', change));
    expect(kind).toBe('model_unsupported');
    return message;
  };
  const first = (graph: GraphProto): GraphProto['node'][number] => {
    const node = graph.node.find(({ opType }) => opType === 'Attention');
    if (!node) throw new Error('no Attention');
    return node;
  };

  it('is refused when it rotates, or shares a buffer', async () => {
    expect(await refused((graph) => setIntAttribute(first(graph), 'do_rotary', 1))).toMatch(
      /GptAttention_0 \(Attention\): it rotates/,
    );
    const shared = await refused((graph) => {
      first(graph).input.push('', 'position_ids');
    });
    expect(shared).toContain('past and present share a buffer');
  });

  it('is refused with another number of heads than its cache has, and without a cache', async () => {
    const heads = await refused((graph) => {
      const node = first(graph);
      setIntAttribute(node, 'num_heads', 2 * intAttribute(node, 'num_heads', 0));
    });
    expect(heads).toMatch(/its past past_0 is not an input of/);
    expect(await refused((graph) => first(graph).input.splice(4))).toContain('it has no past');
  });

  it('is refused when later tokens are seen', async () => {
    expect(await refused((graph) => setIntAttribute(first(graph), 'unidirectional', 0))).toMatch(
      /GptAttention_0 .*another|something else/,
    );
  });
});
