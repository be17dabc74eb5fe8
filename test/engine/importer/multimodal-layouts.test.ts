import { readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it, onTestFinished } from 'vitest';
import { importModel } from '../../../engine/importer/import-model.js';
import { makeNode, makeValueInfo } from '../../../engine/importer/onnx/nodes.js';
import {
  type ModelProto,
  ModelProtoSchema,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation,
  TensorProto_DataType as Type,
} from '../../../engine/importer/onnx/onnx_pb.js';
import { contentFiles } from '../../../engine/model/open-model.js';
import { ExportRunner, exportDir, readGolden } from '../../support/export-fixtures.js';
import { modelDir } from '../../support/model-dir.js';
import { filesOf, type SplitModel, splitEmbedding } from '../../support/split-embedding.js';
import { importFailure } from './import-failure.js';

const TRANSFORMERS_JS = {
  embedding: 'onnx/embed_tokens.onnx',
  decoder: 'onnx/decoder_model_merged.onnx',
};
const BUILDER = { embedding: 'embedding.onnx', decoder: 'text.onnx' };

const graphOf = ({ graph }: ModelProto): NonNullable<ModelProto['graph']> => {
  if (!graph) throw new Error('no graph');
  return graph;
};

/**
 * The decoders of SmolVLM (Llama), Gemma 3, Ministral 3, Qwen2.5-VL, Qwen3-VL and Qwen 3.5
 * (positions in three rows), and LFM2-VL (a hybrid), with an embedding apart.
 */
const FAMILIES = [
  ['optimum', 'llama2', 'llama2'],
  ['optimum', 'gemma3', 'gemma3'],
  ['torch-23-transformers-5', 'ministral3', 'transformers-5/ministral3'],
  ['genai-0.18', 'qwen2.5-vl', 'qwen2.5-vl'],
  ['genai-0.18', 'qwen3-vl', 'qwen3-vl'],
  ['genai-0.18', 'qwen3.5', 'qwen3.5'],
  ['genai-0.18', 'lfm2', 'lfm2'],
] as const;

describe('a decoder whose embedding is in a file of its own', () => {
  it.each(FAMILIES)('says what transformers says: %s/%s', async (exporter, family, golden) => {
    const { prompts, tokens, logits } = readGolden(golden);
    const runner = await ExportRunner.load(
      modelDir(filesOf(splitEmbedding(exporter, family), TRANSFORMERS_JS)),
    );
    onTestFinished(() => runner.dispose());
    const [first, second, third] = prompts;
    const together = await runner.generate([first, second, third], tokens[0].length, 24);
    const [alone] = await runner.generate([second], tokens[0].length, 24);
    expect(together.map((result) => result.tokens)).toEqual(tokens.slice(0, 3));
    expect(alone.tokens).toEqual(tokens[1]);
    const worst = alone.first.reduce(
      (max, x, i) => Math.max(max, Math.abs(x - logits[1][0][i])),
      0,
    );
    expect(worst).toBeLessThan(1e-3);
  });

  it('may have the names of the model builder, and rows of images in its embedding', async () => {
    const split = splitEmbedding('genai-0.18', 'qwen3-vl');
    withImages(split);
    const { prompts, tokens } = readGolden('qwen3-vl');
    const runner = await ExportRunner.load(modelDir(filesOf(split, BUILDER)));
    onTestFinished(() => runner.dispose());
    const [result] = await runner.generate([prompts[1]], tokens[1].length, 24);
    expect(result.tokens).toEqual(tokens[1]);
    expect(runner.model.report.rewrites).toContain(
      'took the rows of text before node merge (Where)',
    );
  });

  it('may have a folder for each part, as mobius gives, with the weights of each beside it', async () => {
    const split = splitEmbedding('optimum', 'llama2');
    const files = Object.fromEntries(
      (['embedding', 'decoder'] as const).flatMap((part) => [
        [`${part}/model.onnx.data`, moveWeights(split[part])],
        [`${part}/model.onnx`, toBinary(ModelProtoSchema, split[part])],
      ]),
    );
    const directory = modelDir({ ...split.config, ...files });
    const { prompts, tokens } = readGolden('llama2');
    const runner = await ExportRunner.load(directory);
    onTestFinished(() => runner.dispose());
    const [result] = await runner.generate([prompts[1]], tokens[1].length, 24);
    expect(result.tokens).toEqual(tokens[1]);
    expect(runner.model.weightsDir).toBe(realpathSync(directory));
    expect(await contentFiles({ modelDir: directory })).toEqual(
      [
        'decoder/model.onnx',
        'decoder/model.onnx.data',
        'embedding/model.onnx',
        'embedding/model.onnx.data',
      ].map((name) => join(directory, name)),
    );
  });

  it('has both files in what identifies it', async () => {
    const directory = modelDir(filesOf(splitEmbedding('optimum', 'llama2'), TRANSFORMERS_JS));
    expect(await contentFiles({ modelDir: directory })).toEqual(
      [TRANSFORMERS_JS.decoder, TRANSFORMERS_JS.embedding].map((name) => join(directory, name)),
    );
  });

  it('takes an embedding of another number format, of older operators', async () => {
    const split = splitEmbedding('optimum', 'llama2');
    split.embedding.opsetImport = split.embedding.opsetImport.map((one) => ({
      ...one,
      version: 13n,
    }));
    const names = { ...TRANSFORMERS_JS, embedding: 'onnx/embed_tokens_fp16.onnx' };
    const { vocabSize } = await importModel({ modelDir: modelDir(filesOf(split, names)) });
    expect(vocabSize).toBe(128);
  });
});

describe('a decoder with inputs_embeds that is refused', () => {
  const refusal = async (files: Readonly<Record<string, Uint8Array | string>>): Promise<string> => {
    const { kind, message } = await importFailure(modelDir(files));
    expect(kind).toBe('model_unsupported');
    return message;
  };

  it('has no embedding beside it', async () => {
    const { [TRANSFORMERS_JS.embedding]: _, ...files } = filesOf(
      splitEmbedding('optimum', 'llama2'),
      TRANSFORMERS_JS,
    );
    expect(await refusal(files)).toMatch(
      /its embedding is missing: expected embed_tokens.onnx or embedding.onnx beside it/,
    );
  });

  it('has another graph in its place', async () => {
    const { decoder, ...split } = splitEmbedding('optimum', 'llama2');
    const whole = readFileSync(join(exportDir('optimum', 'llama2'), 'model.onnx'));
    const files = { ...filesOf({ ...split, decoder }, TRANSFORMERS_JS) };
    expect(await refusal({ ...files, [TRANSFORMERS_JS.embedding]: whole })).toMatch(
      /embed_tokens.onnx: expected an embedding, input_ids -> inputs_embeds, found input_ids/,
    );
  });

  it('mixes text and images otherwise than by their places', async () => {
    const split = splitEmbedding('optimum', 'llama2');
    const graph = graphOf(split.embedding);
    const rows = graph.node[graph.node.length - 1];
    rows.opType = 'Add';
    rows.input = [rows.input[0], 'image_features'];
    graph.input.push(makeValueInfo('image_features', Type.FLOAT));
    expect(await refusal(filesOf(split, TRANSFORMERS_JS))).toMatch(
      /node rows \(Add\) mixes rows of text and of images; expected Where/,
    );
  });
});

/** Makes the weights of a graph external data. @returns the bytes of their file */
function moveWeights(model: ModelProto): Uint8Array {
  const parts: Uint8Array[] = [];
  let offset = 0;
  for (const tensor of graphOf(model).initializer) {
    const { rawData } = tensor;
    if (rawData.length === 0) continue;
    const entries = { location: 'model.onnx.data', offset, length: rawData.length };
    tensor.dataLocation = TensorProto_DataLocation.EXTERNAL;
    tensor.externalData = Object.entries(entries).map(([key, value]) =>
      create(StringStringEntryProtoSchema, { key, value: String(value) }),
    );
    tensor.rawData = new Uint8Array();
    parts.push(rawData);
    offset += rawData.length;
  }
  return Buffer.concat(parts);
}

/** As ONNX Runtime GenAI's examples do: rows of images where a mask of tokens says so. */
function withImages({ embedding }: SplitModel): void {
  const graph = graphOf(embedding);
  const rows = graph.node[graph.node.length - 1];
  graph.node.push(
    makeNode('Cast', 'mask', ['input_ids'], ['is_image'], { to: Type.BOOL }),
    makeNode('Unsqueeze', 'spread', ['is_image', 'last'], ['mask']),
    makeNode('Where', 'merge', ['mask', 'image_features', 'text'], ['inputs_embeds']),
  );
  rows.output = ['text'];
  graph.input.push(makeValueInfo('last', Type.INT64), makeValueInfo('image_features', Type.FLOAT));
}
