import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { Graph } from '../../../engine/importer/graph.js';
import { readModelProto } from '../../../engine/importer/model-file.js';
import { makeNode, makeValueInfo } from '../../../engine/importer/onnx/nodes.js';
import { TensorProto_DataType as Type } from '../../../engine/importer/onnx/onnx_pb.js';
import {
  deepstackNames,
  deepstackPlaces,
  setDeepstackAside,
} from '../../../engine/importer/parts/deepstack.js';
import { joinEmbedding } from '../../../engine/importer/parts/join-embedding.js';
import { ImageEncoder } from '../../../engine/vision/image-encoder.js';
import { readVisionModel } from '../../../engine/vision/vision-model.js';
import { picture, visionDir } from '../../support/vision-fixtures.js';

const DIR = visionDir('qwen3-vl');

async function graphOf(name: string): Promise<Graph> {
  const file = join(DIR, 'onnx', name);
  return new Graph(await readModelProto(file), file);
}

it('features are sorted by their numbers, whatever they are called', () => {
  const names = ['deepstack_10', 'image_features', 'deepstack_2', 'deepstack_features_0'];
  expect(deepstackNames(names)).toEqual(['deepstack_features_0', 'deepstack_2', 'deepstack_10']);
});

it('a decoder is text without them, and keeps their places', async () => {
  const graph = await graphOf('decoder_model_merged.onnx');
  setDeepstackAside(graph);
  expect(deepstackPlaces(graph).map(({ opType, name }) => [opType, name])).toEqual([
    ['Identity', 'octavo.deepstack.0'],
    ['Identity', 'octavo.deepstack.1'],
  ]);
  expect(graph.rewrites).toEqual([
    'took deepstack_features_0, deepstack_features_1 as what images add',
  ]);
});

it('a decoder that does something else with them is refused', async () => {
  const graph = await graphOf('decoder_model_merged.onnx');
  const reader = graph.nodes.find(({ input }) => input.includes('deepstack_features_1'));
  if (reader) reader.opType = 'Mul';
  expect(() => setDeepstackAside(graph)).toThrow(
    /node n\d+ \(Mul\) reads the input deepstack_features_1; expected one Add of it and hidden states$/,
  );
});

it('an embedding that lays them out for all tokens keeps its rows of text alone', async () => {
  const decoder = await graphOf('decoder_model_merged.onnx');
  const { model, file } = await graphOf('embed_tokens.onnx');
  const name = 'deepstack_features_0';
  model.graph?.input.push(makeValueInfo('image_features', Type.FLOAT));
  model.graph?.node.push(makeNode('Identity', 'spread', ['image_features'], [name]));
  model.graph?.output.push(makeValueInfo(name, Type.FLOAT));
  const joined = joinEmbedding(decoder, new Graph(model, file));
  expect([joined.inputs.has('input_ids'), joined.inputs.has(name)]).toEqual([true, true]);
});

it('an encoder with other features than the decoder takes is refused', async () => {
  const model = await readVisionModel(DIR, 'auto');
  if (model === null || typeof model === 'string') throw new Error('no model');
  const options = { threads: 1, cacheBytes: 2 ** 20, width: 8, numDeepstack: 1 };
  const encoder = new ImageEncoder(model, options);
  onTestFinished(() => encoder.close());
  const asker = { client: 'test', signal: new AbortController().signal };
  await expect(encoder.encode(picture('wide.png'), asker)).rejects.toThrow(
    'it gives features of 2 further layers, the decoder takes 1',
  );
});
