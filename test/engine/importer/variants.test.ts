import { describe, expect, it } from 'vitest';
import { importModel } from '../../../engine/importer/import-model.js';
import { formatReport } from '../../../engine/importer/inspect.js';
import { chooseVariant, listVariants } from '../../../engine/importer/variants.js';
import { exportDir } from '../../support/export-fixtures.js';
import { modelDir } from '../../support/model-dir.js';
import { importFailure } from './import-failure.js';

const QWEN = exportDir('variants', 'qwen2');

describe("a directory's variants", () => {
  it('are listed, the preferred one first', async () => {
    expect((await listVariants(QWEN)).map(({ dtype, path }) => `${dtype} ${path}`)).toEqual([
      'fp32 onnx/decoder_model_merged.onnx',
      'fp16 onnx/model_fp16.onnx',
      'q4 onnx/model_q4.onnx',
      'q4f16 onnx/model_q4f16.onnx',
      'q8 onnx/model_quantized.onnx',
    ]);
    expect(
      (await listVariants(exportDir('variants', 'smollm2'))).map(({ dtype }) => dtype),
    ).toEqual(['fp16', 'q4', 'q4f16', 'bnb4', 'int8', 'uint8', 'q2', 'q2f16']);
  });

  it('are chosen by --dtype, and auto says why', async () => {
    const auto = await chooseVariant(QWEN, 'auto');
    expect(auto.reason).toMatch(
      /^onnx\/decoder_model_merged\.onnx \(fp32\) by --dtype auto; also there: .*model_q4\.onnx \(q4\)/,
    );
    expect((await chooseVariant(QWEN, 'q4f16')).path).toBe('onnx/model_q4f16.onnx');
    await expect(chooseVariant(QWEN, 'uint8')).rejects.toMatchObject({
      kind: 'model_file_missing',
      message: expect.stringMatching(/--dtype uint8; there are: fp32 .*q8 \(onnx/) as string,
    });
    const single = modelDir({ 'model_q4.onnx': 'x' });
    expect((await chooseVariant(single, 'auto')).reason).toBe(
      'model_q4.onnx (q4) by --dtype auto; the only one there',
    );
  });

  it("include the one that ONNX Runtime GenAI's configuration names", async () => {
    const genai = (filename: string): string =>
      modelDir({
        'phi3-int4.onnx': 'x',
        'model_q4.onnx': 'x',
        'genai_config.json': JSON.stringify({ model: { decoder: { filename } } }),
      });
    const paths = async (filename: string): Promise<string[]> =>
      (await listVariants(genai(filename))).map(({ path }) => path);
    expect(await paths('phi3-int4.onnx')).toEqual(['phi3-int4.onnx', 'model_q4.onnx']);
    expect(await paths('model_q4.onnx')).toEqual(['model_q4.onnx']);
    expect(await paths('../other.onnx')).toEqual(['model_q4.onnx']);
    expect(await paths('absent.onnx')).toEqual(['model_q4.onnx']);
  });

  it('say in the report what was chosen, and what it means', async () => {
    const quantized = await importModel({ modelDir: QWEN, dtype: 'q8', maxLength: 256 });
    const text = formatReport(quantized);
    expect(text).toMatch(/chosen +onnx\/model_quantized\.onnx \(q8\) by --dtype q8/);
    expect(text).toContain('gave each token a scale of its own in 15 matmuls of 8 bits');
    const merged = await importModel({ modelDir: QWEN, dtype: 'fp32', maxLength: 256 });
    expect(formatReport(merged)).toContain('took the branch with a past of the merged decoder');
  });
});

describe('a directory of another kind of model', () => {
  it.each([
    ['bert', /an encoder|no output logits/],
    ['t5', /model with an encoder/],
    ['vit', /model of images/],
  ])('%s is refused by what it is', async (name, reason) => {
    const { kind, message } = await importFailure(exportDir('foreign', name));
    expect(kind).toBe('model_unsupported');
    expect(message).toMatch(reason);
  });

  it('with an encoder alone is refused too', async () => {
    const { kind, message } = await importFailure(modelDir({ 'encoder_model.onnx': 'x' }));
    expect(kind).toBe('model_unsupported');
    expect(message).toContain('encoder_model.onnx: models with an encoder are not supported');
  });
});
