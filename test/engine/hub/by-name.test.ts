import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findModel } from '../../../engine/hub/find-model.js';
import { hubName, parseHubId } from '../../../engine/hub/hub-id.js';
import { COMMIT } from '../../support/hub-models.js';
import { modelDir } from '../../support/model-dir.js';
import { failureOf, ID, startTestHub, type TestHub } from './test-hub.js';

/** A repository of files that are never opened. */
function startHub(...names: string[]): Promise<TestHub> {
  const files = new Map(names.map((name) => [name, Buffer.from(name)]));
  return startTestHub({ commit: COMMIT, files });
}

/** The files that a name leads to. */
async function fetched(test: TestHub, quantization?: string, file?: string): Promise<string[]> {
  const id = { ...ID, ...(quantization !== undefined && { quantization }) };
  const dir = await test.fetch({}, { file }, id);
  const offline = await test.fetch({ offline: true }, { file }, id);
  expect(offline).toBe(dir);
  return readdirSync(dir, { recursive: true })
    .map(String)
    .filter((name) => name.includes('.'))
    .sort();
}

const QUANTIZED = ['m-IQ2_XXS.gguf', 'm-Q8_0.gguf', 'm-Q4_0.gguf', 'm-Q4_K_M.gguf', 'm-F16.gguf'];

describe('a repository of GGUF files', () => {
  it('gives its Q4_K_M, and nothing else is downloaded: the tokenizer is in it', async () => {
    const test = await startHub(...QUANTIZED, 'mmproj-m-F16.gguf', 'README.md', 'config.json');
    expect(await fetched(test)).toEqual(['m-Q4_K_M.gguf']);
  });

  it.each([
    ['q8_0', 'm-Q8_0.gguf'],
    ['F16', 'm-F16.gguf'],
    ['m-Q4_0.gguf', 'm-Q4_0.gguf'],
  ])('gives another by :%s', async (quantization, file) => {
    expect(await fetched(await startHub(...QUANTIZED), quantization)).toEqual([file]);
  });

  it('gives all parts of a file, from a folder too', async () => {
    const parts = [1, 2, 3].map((n) => `Q4_0/big-Q4_0-0000${n}-of-00003.gguf`);
    const test = await startHub('big-Q8_0.gguf', ...parts);
    expect(await fetched(test, 'Q4_0')).toEqual(parts);
    const second = await fetched(await startHub(...parts), undefined, parts[1]);
    expect(second).toEqual(parts);
  });

  it('is an error when a part is missing, before any is served', async () => {
    const test = await startHub('big-Q4_0-00001-of-00002.gguf');
    expect((await failureOf(test.fetch())).message).toMatch(
      /big-Q4_0-00001-of-00002\.gguf has its weights in big-Q4_0-00002-of-00002\.gguf, which is not/,
    );
  });

  it('is not chosen among when it has several models', async () => {
    const test = await startHub('base-Q4_0.gguf', 'chat-Q4_0.gguf');
    expect((await failureOf(test.fetch())).message).toBe(
      'octavo/small: several GGUF models; name one by --file; there are: Q4_0 (base-Q4_0.gguf), Q4_0 (chat-Q4_0.gguf)',
    );
    const both = test.fetch({}, {}, { ...ID, quantization: 'Q4_0' });
    expect((await failureOf(both)).message).toMatch(/several GGUF files of :Q4_0; name one/);
    expect(await fetched(test, undefined, 'chat-Q4_0.gguf')).toEqual(['chat-Q4_0.gguf']);
  });
});

describe('a repository of several kinds', () => {
  const TEXTS = ['config.json', 'tokenizer.json', 'tokenizer_config.json'];

  it('gives another kind than the rule by the name of a file', async () => {
    const test = await startHub(...TEXTS, 'odd/decoder.onnx', 'model.safetensors', ...QUANTIZED);
    test.hub.break(/GET .*odd/, (response) => response.writeHead(404).end());
    await failureOf(test.fetch({}, { file: 'odd/decoder.onnx' }));
    expect(test.hub.seen(/GET .*odd\/decoder\.onnx/)).toHaveLength(1);
    expect(test.hub.seen(/GET .*(safetensors|gguf)/)).toEqual([]);
    const gguf = await startHub(...TEXTS, 'onnx/model.onnx', ...QUANTIZED);
    expect(await fetched(gguf, undefined, 'm-Q4_0.gguf')).toEqual(['m-Q4_0.gguf']);
  });

  it('says what is there when a name is wrong', async () => {
    const test = await startHub(...TEXTS, 'onnx/model_q4.onnx', 'model.safetensors', 'm-Q4_0.gguf');
    const there = 'there are: q4 (onnx/model_q4.onnx), model.safetensors, Q4_0 (m-Q4_0.gguf)';
    const byTag = test.fetch({}, {}, { ...ID, quantization: 'Q5_K_M' });
    expect((await failureOf(byTag)).message).toBe(
      `octavo/small: no GGUF file of :Q5_K_M; ${there}`,
    );
    const byFile = test.fetch({}, { file: 'm-Q5.gguf' });
    expect((await failureOf(byFile)).message).toBe(
      `octavo/small: no weights in --file m-Q5.gguf, which takes an .onnx, .safetensors or .gguf file by its path; ${there}`,
    );
    const config = test.fetch({}, { file: 'config.json' });
    expect((await failureOf(config)).message).toMatch(/no weights in --file config\.json/);
    expect(test.hub.seen(/GET cdn/)).toEqual([]);
    expect(existsSync(test.dir)).toBe(false);
  });

  it('says offline which file the cache lacks', async () => {
    const test = await startHub(...QUANTIZED);
    await fetched(test);
    const { message } = await failureOf(
      test.fetch({ offline: true }, {}, { ...ID, quantization: 'Q8_0' }),
    );
    expect(message).toMatch(/of octavo\/small:Q8_0 the cache lacks a GGUF file of :Q8_0/);
  });
});

it.each([
  ['a/b', { repo: 'a/b', revision: 'main' }, 'a/b'],
  ['a/b:Q4_K_M', { repo: 'a/b', revision: 'main', quantization: 'Q4_K_M' }, 'a/b:Q4_K_M'],
  ['a/b@v1:q8_0', { repo: 'a/b', revision: 'v1', quantization: 'q8_0' }, 'a/b@v1:q8_0'],
  ['hf.co/a/b:latest', { repo: 'a/b', revision: 'main' }, 'a/b'],
  ['https://huggingface.co/a/b', { repo: 'a/b', revision: 'main' }, 'a/b'],
])('reads %s', (text, id, name) => {
  expect(parseHubId(text)).toEqual(id);
  expect(hubName(id)).toBe(name);
});

it.each(['a/b:', 'a/b:x/y', 'a/b:Q4:Q8', 'C:\\models', 'a:b', 'ftp://huggingface.co/a/b'])(
  'does not read %s',
  (text) => {
    expect(parseHubId(text)).toBeNull();
  },
);

describe('--file in a directory', () => {
  const directory = (...names: string[]): string => {
    const dir = modelDir({});
    for (const name of names) {
      mkdirSync(dirname(join(dir, name)), { recursive: true });
      writeFileSync(join(dir, name), '');
    }
    return dir;
  };
  const find = (dir: string, file?: string) =>
    findModel(
      dir,
      '--model',
      { dtype: 'auto', file },
      {
        log: () => undefined,
        progress: () => undefined,
      },
    );

  it('names ONNX, safetensors or GGUF; without, the preferred quantization is taken', async () => {
    const dir = directory('onnx/model.onnx', 'odd/x.onnx', 'model.safetensors', ...QUANTIZED);
    expect(await find(dir, 'odd/x.onnx')).toMatchObject({ dir, file: 'odd/x.onnx' });
    expect(await find(dir, 'model.safetensors')).toMatchObject({ dir, file: 'model.safetensors' });
    expect((await find(dir, 'm-Q4_0.gguf')).dir).toBe(join(dir, 'm-Q4_0.gguf'));
    const ggufs = directory(...QUANTIZED);
    expect((await find(ggufs)).dir).toBe(join(ggufs, 'm-Q4_K_M.gguf'));
  });

  it('that is not there is an error that says what is; so is one with a GGUF file', async () => {
    const dir = directory('onnx/model.onnx', 'm-Q4_0.gguf');
    await expect(find(dir, 'model_q4.onnx')).rejects.toThrow(
      `${dir}: no weights in --file model_q4.onnx, which takes an .onnx, .safetensors or .gguf file by its path; ` +
        'there are: fp32 (onnx/model.onnx), Q4_0 (m-Q4_0.gguf)',
    );
    await expect(find(join(dir, 'm-Q4_0.gguf'), 'x.gguf')).rejects.toThrow(
      '--file x.gguf: --model names a file already',
    );
  });
});
