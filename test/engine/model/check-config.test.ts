import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { importModel } from '../../../engine/importer/import-model.js';
import { checkConfig } from '../../../engine/model/check-config.js';
import { readModelConfig } from '../../../engine/model/model-config.js';
import { exportDir } from '../../support/export-fixtures.js';
import { modelDir } from '../../support/model-dir.js';

const read = (config: object): ReturnType<typeof readModelConfig> =>
  readModelConfig(modelDir({ 'config.json': JSON.stringify(config) }));

describe('config.json', () => {
  it.each([
    [{ max_position_embeddings: 512, num_hidden_layers: 2 }, 512, 2],
    [{ n_positions: 1024, n_layer: 3, n_embd: 32 }, 1024, 3],
    [{ max_seq_len: 2048, n_layers: 4 }, 2048, 4],
    [{ model_type: 'bloom', n_layer: 5 }, 2048, 5],
    [
      { model_type: 'gemma3', text_config: { max_position_embeddings: 99, num_hidden_layers: 6 } },
      99,
      6,
    ],
  ])('%j', async (config, length, layers) => {
    const { maxPositionEmbeddings, numLayers } = await read(config);
    expect([maxPositionEmbeddings, numLayers]).toEqual([length, layers]);
  });

  it('may be that of ONNX Runtime GenAI', async () => {
    const decoder = { num_hidden_layers: 2, num_attention_heads: 4, head_size: 16 };
    const genai = { model: { context_length: 256, vocab_size: 128, type: 'llama', decoder } };
    const directory = modelDir({ 'genai_config.json': JSON.stringify(genai) });
    expect(await readModelConfig(directory)).toEqual({
      file: join(directory, 'genai_config.json'),
      maxPositionEmbeddings: 256,
      hiddenSize: null,
      numLayers: 2,
      numHeads: 4,
      numKvHeads: null,
      vocabSize: 128,
      headSize: 16,
    });
  });

  it('is refused when a size is no positive integer', async () => {
    await expect(read({ n_positions: 0 })).rejects.toThrow(
      'n_positions must be a positive integer, got 0',
    );
    await expect(read({ n_positions: 8, vocab_size: '9' })).rejects.toThrow('vocab_size must be');
  });

  it.each([
    ['num_hidden_layers', 3, /config\.json: says num_hidden_layers 3, but .*model\.onnx has 2/],
    ['num_attention_heads', 8, /says num_attention_heads 8, but .* has 4/],
    ['num_key_value_heads', 4, /says num_key_value_heads 4, but .* has 2/],
    ['vocab_size', 500, /says vocab_size 500, but .* has 128/],
  ])('is refused when its %s is not that of the graph', async (key, value, reason) => {
    const source = exportDir('genai', 'llama3');
    const config = JSON.parse(readFileSync(join(source, 'config.json'), 'utf8')) as object;
    const directory = modelDir({
      'config.json': JSON.stringify({ ...config, [key]: value }),
      'model.onnx': readFileSync(join(source, 'model.onnx')),
    });
    const model = await importModel({ modelDir: directory });
    checkConfig(await readModelConfig(source), model);
    const wrong = await readModelConfig(directory);
    expect(() => checkConfig(wrong, model)).toThrow(reason);
  });
});
