import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { checkVocabulary, warningsOf } from '../../../engine/text/check-model.js';
import { loadServedModel } from '../../../engine/text/served-model.js';
import { modelDir } from '../../support/model-dir.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../../support/test-server.js';
import { byteLevelTokenizer } from '../../support/tiny-tokenizers.js';

afterEach(stopTestServers);

function directory(files: Readonly<Record<string, unknown>>): string {
  const texts = { 'tokenizer.json': byteLevelTokenizer(), 'tokenizer_config.json': {}, ...files };
  return modelDir(
    Object.fromEntries(
      Object.entries(texts).map(([name, content]) => [
        name,
        typeof content === 'string' ? content : JSON.stringify(content),
      ]),
    ),
  );
}

const genai = (model: object, search: object = {}): object => ({ model, search });

describe('a directory of ONNX Runtime GenAI', () => {
  it('has its ends of text and its sampling in genai_config.json', async () => {
    const config = genai({ eos_token_id: [7, 8] }, { do_sample: true, top_p: 0.8, top_k: 50 });
    const model = await loadServedModel(directory({ 'genai_config.json': config }), []);
    expect(model.eosTokenIds).toEqual([7, 8]);
    expect(model.defaultSampling).toMatchObject({ topP: 0.8, topK: 50, temperature: 1 });
  });

  it('adds to what the other files say, which are asked for sampling first', async () => {
    const files = {
      'config.json': { eos_token_id: 5 },
      'generation_config.json': { eos_token_id: [5, 6], do_sample: true, temperature: 0.5 },
      'genai_config.json': genai({ eos_token_id: 7 }, { do_sample: true, temperature: 0.9 }),
      'tokenizer_config.json': { eos_token: '<|end|>' },
    };
    const model = await loadServedModel(directory(files), []);
    expect(model.eosTokenIds).toEqual([5, 6, 7, 258]);
    expect(model.defaultSampling.temperature).toBe(0.5);
  });

  it('is refused when its file is of another form', async () => {
    const dir = directory({ 'genai_config.json': { model: { eos_token_id: 'x' } } });
    await expect(loadServedModel(dir, [])).rejects.toThrow(
      /genai_config\.json at \/model\/eos_token_id must be/,
    );
  });
});

const CHAT = [{ role: 'user', content: 'x' }];
const NAMED = [
  { name: 'default', template: 'plain' },
  { name: 'tool_use', template: 'tools' },
  { name: 'rag', template: 'rag' },
];

async function rendered(dir: string, chatTemplate?: string): Promise<(string | undefined)[]> {
  const options = chatTemplate === undefined ? {} : { chatTemplate };
  const { chatTemplate: template } = await loadServedModel(dir, [], options);
  return [template?.render(CHAT), template?.render(CHAT, { tools: [{}] })];
}

describe('the chat template', () => {
  const base = { 'config.json': {} };

  it('is one of several by its name', async () => {
    const dir = directory({ ...base, 'tokenizer_config.json': { chat_template: NAMED } });
    expect(await rendered(dir)).toEqual(['plain', 'tools']);
    expect(await rendered(dir, 'rag')).toEqual(['rag', 'rag']);
    expect(await rendered(dir, 'default')).toEqual(['plain', 'plain']);
  });

  it('is a file of its own, with others beside it', async () => {
    const files = { ...base, 'chat_template.jinja': 'newer', 'given.jinja': 'given' };
    const dir = directory({ ...files, 'tokenizer_config.json': { chat_template: NAMED } });
    mkdirSync(join(dir, 'additional_chat_templates'));
    writeFileSync(join(dir, 'additional_chat_templates/tool_use.jinja'), 'newer tools');
    expect(await rendered(dir)).toEqual(['newer', 'newer tools']);
    expect(await rendered(dir, 'rag')).toEqual(['rag', 'rag']);
    expect(await rendered(dir, join(dir, 'given.jinja'))).toEqual(['given', 'given']);
  });

  it('is in chat_template.json, where processors of images had it', async () => {
    const files = { ...base, 'chat_template.json': { chat_template: 'older' } };
    expect(await rendered(directory(files))).toEqual(['older', 'older']);
    const newer = directory({ ...files, 'chat_template.jinja': 'newer' });
    expect(await rendered(newer)).toEqual(['newer', 'newer']);
  });

  it('is refused when it is neither a file nor one of the model', async () => {
    const dir = directory({ ...base, 'tokenizer_config.json': { chat_template: NAMED } });
    await expect(rendered(dir, 'odd')).rejects.toMatchObject({
      kind: 'usage',
      message:
        "--chat-template odd: must be a file that can be read, or one of the model's own templates: default, tool_use, rag",
    });
    await expect(rendered(directory(base), 'odd')).rejects.toThrow(/own templates: it has none$/);
    const unnamed = directory({
      ...base,
      'tokenizer_config.json': { chat_template: NAMED.slice(1) },
    });
    await expect(rendered(unnamed)).rejects.toThrow(
      /no chat template named default: choose one of tool_use, rag by --chat-template/,
    );
    await expect(rendered(dir, join(dir, 'config.json'))).resolves.toEqual(['{}', '{}']);
  });

  it('is missed by chats only, which are told what to do', async () => {
    const model = await loadServedModel(directory(base), ['bare']);
    const engine = new ScriptedEngine(() => ({ steps: [[104], [105]], finish: 'length' }));
    const server = await startTestServer(engine, { model });
    const refused = await server.post('/v1/chat/completions', { messages: CHAT });
    expect(refused.status).toBe(400);
    expect(await refused.json()).toMatchObject({
      error: {
        param: 'messages',
        message:
          'the model has no chat template: use /v1/completions, or give the server one by --chat-template',
      },
    });
    const completed = await server.post('/v1/completions', { prompt: 'x', max_tokens: 2 });
    expect(await completed.json()).toMatchObject({ choices: [{ text: 'hi' }] });
  });
});

describe('before it serves', () => {
  it('a vocabulary that is larger than the logits is refused with both numbers', async () => {
    const dir = directory({ 'config.json': {} });
    const model = await loadServedModel(dir, []);
    checkVocabulary(dir, model, 260);
    expect(() => checkVocabulary(dir, model, 259)).toThrow(
      `${dir}/tokenizer.json: its vocabulary has 260 tokens, but the model's logits have 259: they are not of one model`,
    );
  });

  it('says what people will miss', async () => {
    const warnings = async (files: object, vocabSize = 260): Promise<string[]> =>
      warningsOf(await loadServedModel(directory({ ...files }), []), vocabSize);
    const template = {
      'config.json': { eos_token_id: 2 },
      'chat_template.jinja': '{{ messages }}',
    };
    expect(await warnings(template)).toEqual([]);
    expect(await warnings({ ...template, 'config.json': {} })).toEqual([
      expect.stringMatching(/^the model names no token that ends a text .* max_tokens/),
    ]);
    expect(await warnings({ ...template, 'config.json': { eos_token_id: 300 } })).toEqual([
      expect.stringMatching(/never ends a text by itself: 300 is not among its 260 tokens/),
    ]);
    expect(await warnings({ 'config.json': { eos_token_id: 2 } })).toEqual([
      expect.stringMatching(/no chat template: .* --chat-template/),
    ]);
    expect(await warnings({ ...template, 'chat_template.jinja': "{{ 'x'.odd() }}" })).toEqual([
      expect.stringMatching(/chat template cannot write .*, not even for one user message$/),
    ]);
    const refusing = { ...template, 'chat_template.jinja': "{{ raise_exception('no') }}" };
    expect(await warnings(refusing)).toEqual([]);
  });
});
