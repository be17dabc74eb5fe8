import type { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { startModel } from '../../../engine/client/start-model.js';
import { loadSettings } from '../../../server/config/load-settings.js';
import { octavoTinyRepository } from '../../support/hub-models.js';
import { modelDir } from '../../support/model-dir.js';

const ignore = (): void => undefined;

/** octavo-tiny with some of its files changed; `null` leaves one out. */
function tinyWith(changes: Readonly<Record<string, string | null>>): string {
  const files = new Map<string, Uint8Array | string>(octavoTinyRepository().files);
  for (const [name, content] of Object.entries(changes)) {
    if (content === null) files.delete(name);
    else files.set(name, content);
  }
  return modelDir(Object.fromEntries(files));
}

function start(dir: string) {
  return startModel(
    { dir, names: ['tiny'] },
    {
      names: ['tiny'],
      settings: loadSettings({ device: ['cpu'], kvCacheMemory: ['16MiB'] }, {}),
      download: { log: ignore, progress: ignore },
      say: ignore,
      onFailure: ignore,
      onRestartFailed: ignore,
    },
  );
}

it('starts the engine, and reads the text side beside it', async () => {
  const { engine, model, options } = await start(tinyWith({}));
  expect(engine.info.vocabSize).toBe(2048);
  expect(model.tokenizer.encode('Hello', { addSpecialTokens: false }).length).toBeGreaterThan(0);
  expect(options.device).toBe('cpu');
  await engine.close();
});

it.each([
  ['alone', {}],
  ['beside one of the engine', { 'onnx/model.onnx_data': 'short' }],
])('says what is wrong with the text side, %s, and ends the thread', async (_, others) => {
  const thread = new Promise<Worker>((resolve) => process.once('worker', resolve));
  const starting = start(tinyWith({ 'tokenizer.json': '{', ...others }));
  starting.catch(ignore);
  let hasEnded = false;
  (await thread).once('exit', () => {
    hasEnded = true;
  });
  await expect(starting).rejects.toThrow(/tokenizer\.json/);
  expect(hasEnded).toBe(true);
});

it('says what is wrong with the files of the engine', async () => {
  const dir = tinyWith({ 'onnx/model.onnx_data': null });
  await expect(start(dir)).rejects.toThrow(/model\.onnx_data/);
});
