import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { openEncoder } from '../../../engine/encoder/encoder.js';
import { modelKindOf } from '../../../engine/encoder/model-kind.js';
import { createEngine } from '../../../engine/index.js';
import { encoderDir, readEncoderGolden, worstDifference } from '../../support/encoder-fixtures.js';
import { exportDir } from '../../support/export-fixtures.js';
import { modelDir } from '../../support/model-dir.js';

const TINY = fileURLToPath(new URL('../../../models/octavo-tiny', import.meta.url));

describe('encoders', () => {
  it('are told from decoders by what their graphs take and give', async () => {
    const dirs = ['minilm', 'bge-m3', 'embeddinggemma', 'ms-marco'].map(encoderDir);
    for (const dir of [...dirs, exportDir('foreign', 'bert')]) {
      expect(await modelKindOf({ modelDir: dir })).toBe('encoder');
    }
    for (const dir of [TINY, exportDir('foreign', 'vit'), exportDir('optimum', 'llama3')]) {
      expect(await modelKindOf({ modelDir: dir })).toBe('decoder');
    }
  });

  it('leave it to the importer to say what is wrong with a damaged file', async () => {
    const dir = modelDir({ 'model.onnx': 'no protobuf at all' });
    expect(await modelKindOf({ modelDir: dir })).toBe('decoder');
  });

  it('are refused by what their files ask for', async () => {
    const files = (more: Record<string, string>) => {
      const from = encoderDir('bge-m3');
      const read = (name: string) => readFileSync(join(from, name));
      return modelDir({
        'model.onnx': read('onnx/model.onnx'),
        'config.json': read('config.json'),
        ...more,
      });
    };
    const open = (more: Record<string, string>) =>
      openEncoder({ modelDir: files(more), threads: 1 });
    const module = (kind: string) => ({ path: '', type: `sentence_transformers.models.${kind}` });
    const modules = (...kinds: string[]) => JSON.stringify(kinds.map(module));
    await expect(open({ 'modules.json': modules('WordEmbeddings') })).rejects.toThrow(
      /begins with WordEmbeddings/,
    );
    await expect(open({ 'modules.json': modules('Transformer') })).rejects.toThrow(/no Pooling/);
    await expect(open({ 'sentence_bert_config.json': '{"do_lower_case": true}' })).rejects.toThrow(
      /do_lower_case/,
    );
  });

  it('embed in the library, and generate nothing', async () => {
    const { texts, embeddings } = readEncoderGolden('nomic');
    await using engine = await createEngine({ model: encoderDir('nomic'), threads: 1 });
    const vectors = await engine.embed(texts.slice(0, 3));
    vectors.forEach((vector, i) => {
      expect(worstDifference(vector, embeddings.get('')?.[i] ?? [])).toBeLessThan(1e-5);
    });
    await expect(engine.generate('the').result()).rejects.toMatchObject({
      kind: 'task_unsupported',
    });
  });
});
