import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { encodeTexts } from '../../../engine/calibration/encode-texts.js';
import { openCalibration } from '../../../engine/calibration/open-calibration.js';
import { parseCalibrationFile } from '../../../engine/calibration/read-texts.js';
import { engineOptions, type StartSettings } from '../../../engine/client/engine-options.js';
import { embeddedModelDir } from '../../../engine/environment/package-root.js';
import { loadServedModel } from '../../../engine/text/served-model.js';
import { loadSettings } from '../../../server/config/load-settings.js';
import { modelDir } from '../../support/model-dir.js';

const MODEL = embeddedModelDir();
const open = (file: string) =>
  openCalibration(file, { modelDir: MODEL }, { threads: 1, scratchDir: tmpdir() });
const fileOf = (name: string, content: string | Uint8Array): string =>
  join(modelDir({ [name]: content }), name);

describe('a calibration file', () => {
  it('has one text on each line', () => {
    const bytes = new TextEncoder().encode('one\r\n\n {"text": "two"}\n');
    expect(parseCalibrationFile('t.txt', bytes)).toEqual([
      { text: 'one' },
      { text: ' {"text": "two"}' },
    ]);
  });

  it('named .jsonl has texts and conversations', () => {
    const messages = [{ role: 'user', content: 'hello' }];
    const lines = [{ text: 'one' }, { messages }, { messages, tools: [{ type: 'function' }] }];
    const bytes = new TextEncoder().encode(lines.map((line) => JSON.stringify(line)).join('\n'));
    expect(parseCalibrationFile('t.jsonl', bytes)).toEqual([
      { text: 'one' },
      { messages, tools: null },
      { messages, tools: [{ type: 'function' }] },
    ]);
  });

  it.each([
    ['empty.txt', '', 'holds no text'],
    ['blank.txt', ' \n\n', 'holds no text'],
    ['bytes.txt', Uint8Array.of(0xff, 0xfe, 0), 'is no text in UTF-8'],
    ['line.jsonl', '{"text": "a"}\nb\n', 'line 2 is not a JSON object with "text", or with'],
    ['form.jsonl', '{"prompt": "a"}', 'line 1 is not a JSON object with "text", or with'],
    ['none.jsonl', '{"messages": []}', 'line 1 is not a JSON object with "text", or with'],
  ])('%s is refused', async (name, content, why) => {
    const file = fileOf(name, content);
    await expect(open(file)).rejects.toMatchObject({
      kind: 'usage',
      message: expect.stringContaining(`--calibrate ${file}: ${why}`) as string,
    });
  });

  it('that is missing is refused', async () => {
    const file = join(modelDir({}), 'missing.txt');
    await expect(open(file)).rejects.toThrow(`--calibrate ${file}: cannot be read (ENOENT`);
  });

  it('is known by its content, and by how it is read', async () => {
    const key = async (name: string, content: string) => (await open(fileOf(name, content))).key;
    const line = '{"text": "a"}';
    const first = await key('a.txt', line);
    expect(await key('b.txt', line)).toBe(first);
    expect(await key('a.txt', `${line} `)).not.toBe(first);
    expect(await key('a.jsonl', line)).not.toBe(first);
  });
});

describe('the tokens', () => {
  const limits = { sequences: 2, length: 4, tokens: 6 };

  it('are the first of the first texts', async () => {
    const model = await loadServedModel(MODEL, []);
    const long = 'The capital of France is Paris, and that of Italy is Rome.';
    const [first] = encodeTexts('f', [{ text: long }], model, {
      ...limits,
      length: 99,
      tokens: 99,
    });
    const texts = [{ text: long }, { text: long }, { text: long }];
    const made = encodeTexts('f', texts, model, limits);
    expect(made).toEqual([first.slice(0, 4), first.slice(0, 2)]);
  });

  it('of a conversation are those of the chat template', async () => {
    const model = await loadServedModel(MODEL, []);
    const messages = [
      { role: 'user', content: 'Hello' },
      { role: 'assistant', content: 'Hi' },
    ];
    const all = { sequences: 1, length: 99, tokens: 99 };
    const [own] = encodeTexts('f', [{ messages, tools: null }], model, all);
    expect(model.tokenizer.decode(own, { skipSpecialTokens: false })).toBe(
      model.chatTemplate?.render(messages, { addGenerationPrompt: false }),
    );
    expect(() =>
      encodeTexts('f', [{ messages, tools: null }], { ...model, chatTemplate: null }, all),
    ).toThrow('--calibrate f: has "messages", and the model has no chat template: give "text"');
  });
});

describe('--calibrate', () => {
  const options = (kind: string, model: 'decoder' | 'encoder' = 'decoder') => {
    const settings: StartSettings = loadSettings({ quantize: [kind], calibrate: ['f.txt'] }, {});
    return engineOptions(settings, { dir: MODEL }, { device: 'cpu' }, model);
  };

  it.each(['q4', 'q8'])('goes with --quantize %s', (kind) => {
    expect(options(kind).quantize).toMatchObject({ kind, calibrate: 'f.txt' });
  });

  it.each(['none', 'w8a8', 'auto'])('is refused with --quantize %s', (kind) => {
    expect(() => options(kind)).toThrow(
      `--calibrate f.txt: is for --quantize q4 and q8, not ${kind}`,
    );
  });

  it('is refused for encoders', () => {
    expect(() => options('q4', 'encoder')).toThrow('--calibrate f.txt: is for decoders');
  });
});
