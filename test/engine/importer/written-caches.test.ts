import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  ModelProtoSchema,
  type NodeProto,
} from '../../../engine/importer/onnx/onnx_pb.js';
import { exportDir } from '../../support/export-fixtures.js';
import { failure } from './import-failure.js';

/**
 * The message for an export whose caches are written by TensorScatter, changed; unchanged it equals
 * PyTorch (exports.test.ts).
 */
async function refusal(change: (attention: NodeProto, writer: NodeProto) => void): Promise<string> {
  const file = join(exportDir('torch-24-written', 'qwen3-yarn'), 'model.onnx');
  const model = fromBinary(ModelProtoSchema, readFileSync(file));
  const find = (opType: string): NodeProto => {
    const node = model.graph?.node.find((n) => n.opType === opType);
    if (!node) throw new Error(`no ${opType}`);
    return node;
  };
  change(find('Attention'), find('TensorScatter'));
  const { kind, message } = await failure(toBinary(ModelProtoSchema, model));
  expect(kind).toBe('model_unsupported');
  return message;
}

describe('a cache that the graph writes in place', () => {
  it('is refused without the lengths of its sequences: what is beyond them would be seen', async () => {
    const message = await refusal((attention) => attention.input.splice(3));
    expect(message).toMatch(/lack of nonpad_kv_seqlen and attn_mask/);
  });

  it('is refused when it is written in a circle', async () => {
    const message = await refusal((_, writer) => {
      const s = new TextEncoder().encode('circular');
      const type = AttributeProto_AttributeType.STRING;
      writer.attribute.push(create(AttributeProtoSchema, { name: 'mode', type, s }));
    });
    expect(message).toMatch(/past_key_values\.0\.key\) that is written in a circle/);
  });

  it('is refused for keys without values, and lengths without a cache', async () => {
    const half = await refusal((attention) => {
      attention.input[2] = 'past_key_values.0.value';
    });
    expect(half).toContain('only one comes from a cache that TensorScatter writes');
    const none = await refusal((attention) => {
      attention.input[1] = 'past_key_values.0.key';
      attention.input[2] = 'past_key_values.0.value';
    });
    expect(none).toMatch(/nonpad_kv_seqlen \(nonpad_kv_seqlen\) without a cache/);
  });
});
