import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findModel } from '../../../engine/hub/find-model.js';
import { checkpointDir } from '../../support/checkpoint-fixtures.js';
import { exportDir } from '../../support/export-fixtures.js';
import { modelDir } from '../../support/model-dir.js';

const SILENT = { log: () => undefined, progress: () => undefined };

function refusal(path: string): Promise<string> {
  return findModel(path, '--model', { dtype: 'auto' }, SILENT).then(
    ({ dir }) => `found ${dir}`,
    (error: unknown) => (error as Error).message,
  );
}

describe('what is no directory with an ONNX decoder or safetensors', () => {
  it('is named by its format, with the way out: weights of PyTorch', async () => {
    const dir = modelDir({ 'config.json': '{}', 'pytorch_model-00001-of-00002.bin': '' });
    const wayOut = /save the model as safetensors .* or export it with Optimum/;
    expect(await refusal(dir)).toMatch(
      /it has pytorch_model-00001-of-00002\.bin, a file of PyTorch/,
    );
    expect(await refusal(dir)).toMatch(wayOut);
    expect(await refusal(join(dir, 'pytorch_model-00001-of-00002.bin'))).toMatch(wayOut);
  });

  it('is one file of safetensors', async () => {
    const dir = checkpointDir('qwen2');
    const path = join(dir, 'model-00001-of-00002.safetensors');
    expect(await refusal(path)).toMatch(/give its directory, .*checkpoints\/qwen2$/);
    expect(await refusal(dir)).toBe(`found ${dir}`);
  });

  it('is the decoder of a model in parts: the message names the directory of all', async () => {
    const dir = exportDir('mobius-parts', 'gemma4');
    const path = join(dir, 'decoder', 'model.onnx');
    expect(await refusal(path)).toMatch(/give its directory, .*mobius-parts\/gemma4$/);
    expect(await refusal(dir)).toBe(`found ${dir}`);
  });

  it('is one file of such a directory: the message names that, and the number format', async () => {
    const dir = exportDir('variants', 'qwen2');
    const path = join(dir, 'onnx', 'model_q4.onnx');
    expect(await refusal(path)).toMatch(/give its directory, .*variants\/qwen2 --dtype q4$/);
    expect(await refusal(dir)).toBe(`found ${dir}`);
  });
});
