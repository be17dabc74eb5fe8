import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { makeValueInfo } from '../../../engine/importer/onnx/nodes.js';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  TensorProto_DataType as Type,
} from '../../../engine/importer/onnx/onnx_pb.js';
import { readServableConfig } from '../../../engine/model/servable-config.js';
import { exportDir } from '../../support/export-fixtures.js';
import { modelDir } from '../../support/model-dir.js';
import { failure, importFailure } from './import-failure.js';

const refused = (family: string): string => exportDir('mobius-refused', family);

type Graph = NonNullable<ModelProto['graph']>;

/** The message for an export whose graph was changed. */
async function changed(
  [exporter, family, file]: readonly [string, string, string],
  change: (graph: Graph) => void,
): Promise<string> {
  const model = fromBinary(ModelProtoSchema, readFileSync(join(exportDir(exporter, family), file)));
  if (!model.graph) throw new Error('no graph');
  change(model.graph);
  const { kind, message } = await failure(toBinary(ModelProtoSchema, model));
  expect(kind).toBe('model_unsupported');
  return message;
}

/** Adds a state to the graph, which the first layer reads. */
function keepState(graph: Graph): void {
  graph.input.push(makeValueInfo('input.cache.layers.0.conv_states.0', Type.FLOAT));
  const add = graph.node.find(({ opType, input }) => opType === 'Add' && input[0] === 'embedding');
  if (add) add.input[0] = 'input.cache.layers.0.conv_states.0';
}

describe('a model that keeps a state beside keys and values', () => {
  it('is refused for it, in whatever operators it is written', async () => {
    const message = await changed(['transformers-5', 'llama', 'decode.onnx'], keepState);
    expect(message).toMatch(
      /keeps a state \(input\.cache\.layers\.0\.conv_states\.0\) instead of keys and values\. Take the model's safetensors/,
    );
    expect(message).not.toMatch(/octavo\.|position_ids as an input/);
  });

  it.each(['Scan', 'Loop'])('is refused for the %s that carries it', async (opType) => {
    const message = await changed(['transformers-5', 'llama', 'decode.onnx'], ({ node }) => {
      const add = node.find(
        ({ opType: type, input }) => type === 'Add' && input[0] === 'embedding',
      );
      if (!add) throw new Error('no first layer');
      const body = create(AttributeProtoSchema, {
        name: 'body',
        type: AttributeProto_AttributeType.GRAPH,
        g: create(GraphProtoSchema, { name: 'body' }),
      });
      [add.opType, add.attribute] = [opType, [body]];
    });
    expect(message).toMatch(
      new RegExp(`\\(${opType}\\) goes through the tokens one by one, and carries a state instead`),
    );
    expect(message).toMatch(/export LFM2 and Qwen 3\.5 with the model builder/);
  });

  it('is refused for it before its config.json is, which states no length', async () => {
    const file = join(exportDir('transformers-5', 'llama'), 'decode.onnx');
    const model = fromBinary(ModelProtoSchema, readFileSync(file));
    if (model.graph) keepState(model.graph);
    const config = JSON.stringify({ model_type: 'mamba', num_hidden_layers: 2 });
    const bytes = toBinary(ModelProtoSchema, model);
    const stateful = modelDir({ 'model.onnx': bytes, 'config.json': config });
    await expect(readServableConfig({ modelDir: stateful })).rejects.toThrow(/keeps a state/);
    // One that is served is refused for the file.
    const decoder = readFileSync(join(exportDir('genai', 'llama2'), 'model.onnx'));
    const nameless = modelDir({ 'model.onnx': decoder, 'config.json': config });
    await expect(readServableConfig({ modelDir: nameless })).rejects.toThrow(
      /max_position_embeddings must be a positive integer, got nothing/,
    );
  });
});

describe('an export of 2026 that is refused', () => {
  it('as a decoder of embeddings, with the option that leaves the token table out', async () => {
    const message = await changed(['transformers-5', 'llama', 'decode.onnx'], (graph) => {
      const ids = graph.input.find(({ name }) => name === 'input_ids');
      if (ids) ids.name = 'inputs_embeds';
      for (const node of graph.node) {
        node.input = node.input.map((name) => (name === 'input_ids' ? 'inputs_embeds' : name));
      }
    });
    expect(message).toMatch(
      /no input input_ids, but inputs_embeds.*its embedding is missing.*exclude_embeds/,
    );
  });

  it('with attention sinks written out', async () => {
    const { message } = await importFailure(refused('gpt-oss'));
    expect(message).toMatch(/joined with other logits, as attention sinks are written out/);
    // Not with mobius, which wrote this one, nor with Optimum.
    expect(message).toMatch(/Export the model with the model builder of onnxruntime-genai/);
  });

  it('as a decoder of one token at a time, with the option that opens it', async () => {
    const message = await changed(['transformers-5', 'llama', 'decode.onnx'], ({ input }) => {
      const type = input.find(({ name }) => name === 'input_ids')?.type?.value;
      const dim = type?.case === 'tensorType' ? type.value.shape?.dim[1] : undefined;
      if (dim) dim.value = { case: 'dimValue', value: 1n };
    });
    expect(message).toMatch(
      /input_ids has the shape \[\?, 1\], one token at a time.*multi_token_decode=True/,
    );
  });

  it('where a guard for rows without keys zeroes others', async () => {
    const message = await changed(['transformers-5', 'llama', 'decode.onnx'], (graph) => {
      const less = graph.node.find(({ opType }) => opType === 'Less');
      const sum = graph.node.find(({ opType }) => opType === 'ReduceSum');
      // As many keys as there are tokens are less than the sum of itself and one: always true.
      if (less && sum) [less.opType, less.input[1]] = ['Equal', sum.output[0]];
    });
    expect(message).toMatch(/it zeroes rows that see keys, where \w+ says so/);
  });

  it('where a layer reads the keys of one layer and the values of another', async () => {
    const directory = exportDir('mobius-parts', 'gemma4');
    const bytes = (part: string): Uint8Array => readFileSync(join(directory, part, 'model.onnx'));
    const decoder = fromBinary(ModelProtoSchema, bytes('decoder'));
    for (const { input } of decoder.graph?.node ?? []) {
      const index = input.indexOf('present.1.value');
      if (index >= 0) input[index] = 'present.0.value';
    }
    const { message } = await importFailure(
      modelDir({
        'decoder/model.onnx': toBinary(ModelProtoSchema, decoder),
        'embedding/model.onnx': bytes('embedding'),
      }),
    );
    expect(message).toMatch(/.*: it reads the past of .*, but other fresh keys or values/);
  });
});
