import { expect, it } from 'vitest';
import { importModel } from '../../../engine/importer/import-model.js';
import { checkConfig } from '../../../engine/model/check-config.js';
import { readModelConfig } from '../../../engine/model/model-config.js';
import { DAMAGES, damaged } from '../../support/damaged-model.js';

/** As the engine loads a model, up to its sessions. */
async function load(modelDir: string): Promise<void> {
  const config = await readModelConfig(modelDir);
  const maxLength = config.maxPositionEmbeddings;
  checkConfig(config, await importModel({ modelDir, maxLength }));
}

it('a model is loaded when nothing is wrong', async () => {
  await expect(load(damaged(() => undefined))).resolves.toBe(undefined);
});

it.each(DAMAGES)('%s is one line, with the file', async (_, damage, reason) => {
  const directory = damaged(damage);
  const error: unknown = await load(directory).catch((e: unknown) => e);
  expect(error).toMatchObject({ kind: 'model_file_corrupt' });
  const { message } = error as Error;
  expect(message).toMatch(reason);
  expect(message.startsWith(directory)).toBe(true);
  expect(message).not.toContain('\n');
});
