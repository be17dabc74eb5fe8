import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { COMMIT } from '../../support/hub-models.js';
import { tinyCheckpoint } from '../../support/tiny-checkpoint.js';
import { failureOf, startTestHub, type TestHub } from './test-hub.js';

/** What a repository of safetensors often has besides. */
const OTHERS = [
  'pytorch_model.bin',
  'consolidated.safetensors',
  'original/consolidated.00.pth',
  'model.gguf',
];

function startHub(
  change: (files: Map<string, Buffer>) => void = () => undefined,
): Promise<TestHub> {
  const files = tinyCheckpoint();
  for (const name of OTHERS) files.set(name, Buffer.from('never needed'));
  change(files);
  return startTestHub({ commit: COMMIT, files });
}

const configOf = (changes: object) => (files: Map<string, Buffer>) => {
  const config = JSON.parse(String(files.get('config.json'))) as object;
  files.set('config.json', Buffer.from(JSON.stringify({ ...config, ...changes })));
};

describe('a repository without ONNX', () => {
  it('is fetched as safetensors, every part and nothing else; then it needs no hub', async () => {
    const test = await startHub();
    const dir = await test.fetch();
    const expected = [...tinyCheckpoint().keys()].sort();
    expect(readdirSync(dir).sort()).toEqual(expected);
    for (const [name, content] of tinyCheckpoint()) {
      expect(readFileSync(join(dir, name)).equals(content)).toBe(true);
    }
    test.hub.requests.length = 0;
    expect(await test.fetch({ offline: true })).toBe(dir);
    expect(test.hub.requests).toEqual([]);
  });

  it('is refused before any weight is fetched when its architecture is not known', async () => {
    const test = await startHub(configOf({ model_type: 'rwkv7' }));
    const { kind, message } = await failureOf(test.fetch());
    expect(kind).toBe('model_unsupported');
    expect(message).toMatch(
      /config\.json: has the model_type "rwkv7", whose architecture is not known\. Built from config\.json are apertus, .*export it with Optimum/,
    );
    expect(test.hub.seen(/model-0000/)).toEqual([]);
  });

  it('is refused before any weight is fetched when it is quantized in an unknown way', async () => {
    const test = await startHub(configOf({ quantization_config: { quant_method: 'nvfp4' } }));
    const { kind, message } = await failureOf(test.fetch());
    expect(kind).toBe('model_unsupported');
    expect(message).toMatch(/its weights are quantized \(quantization_config: nvfp4\)/);
    expect(test.hub.seen(/model-0000/)).toEqual([]);
  });

  it('has no number formats to choose among', async () => {
    const { kind, message } = await failureOf((await startHub()).fetch({}, { dtype: 'q4' }));
    expect(kind).toBe('model_file_missing');
    expect(message).toMatch(
      /no ONNX model of --dtype q4; .*; without --dtype, model\.safetensors\.index\.json is taken$/,
    );
  });

  it('is an error when a part is not in the repository', async () => {
    const test = await startHub((files) => files.delete('model-00002-of-00002.safetensors'));
    const { message } = await failureOf(test.fetch());
    expect(message).toMatch(
      /index\.json has its weights in model-00002-of-00002\.safetensors, which is not/,
    );
  });

  it('is an error offline when a part is not in the cache, and which', async () => {
    const test = await startHub();
    test.hub.break(/GET .*model-00002/, (response) => response.writeHead(403).end(), 99);
    await failureOf(test.fetch());
    const snapshot = join(test.dir, 'snapshots', COMMIT);
    expect(existsSync(join(snapshot, 'model-00001-of-00002.safetensors'))).toBe(true);
    const { message } = await failureOf(
      test.fetch({ offline: true }, {}, { repo: 'octavo/small', revision: COMMIT }),
    );
    expect(message).toMatch(/the cache lacks model-00002-of-00002\.safetensors/);
  });
});

it('a repository with ONNX is fetched as that', async () => {
  const test = await startHub((files) => files.set('onnx/model_q4.onnx', Buffer.from('')));
  const { kind } = await failureOf(test.fetch({}, { dtype: 'fp32' }));
  expect(kind).toBe('model_file_missing');
  expect(test.hub.seen(/model-0000/)).toEqual([]);
});
