import { afterEach, expect, test } from 'vitest';
import type { ServedModel } from '../../../../engine/text/served-model.js';
import type { TokenId } from '../../../../scheduler/ids.js';
import { byteModel, bytesOf } from '../../../support/byte-model.js';
import { ScriptedEngine } from '../../../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../../../support/test-server.js';

afterEach(stopTestServers);

const GAP = { '<|fim_prefix|>': 1, '<|fim_suffix|>': 2, '<|fim_middle|>': 3 };
const FILES = { '<|repo_name|>': 4, '<|file_sep|>': 5 };

function modelWith(tokens: Readonly<Record<string, number>>): ServedModel {
  const tokenId = (text: string) => tokens[text] as TokenId | undefined;
  return { ...byteModel, tokenizer: { ...byteModel.tokenizer, tokenId } };
}

async function start(tokens: Readonly<Record<string, number>>) {
  const engine = new ScriptedEngine(() => ({
    steps: [bytesOf('a'), bytesOf('b'), bytesOf('c;d')],
    finish: 'length',
  }));
  const server = await startTestServer(engine, { model: modelWith(tokens) });
  const ask = (body: object) => server.post('/infill', body);
  return { ask, engine };
}

test('a gap is filled, with what the end of the text was', async () => {
  const { ask, engine } = await start(GAP);
  const body = { input_prefix: 'x', input_suffix: 'y', prompt: 'z', n_predict: 5, stop: [';'] };
  expect(await (await ask(body)).json()).toEqual({
    index: 0,
    content: 'abc',
    stop: true,
    model: 'byte-model',
    tokens_predicted: 4,
    tokens_evaluated: 6,
    tokens_cached: 0,
    truncated: false,
    stop_type: 'word',
    stopping_word: ';',
  });
  const [sent] = engine.submitted;
  expect(sent?.request.promptTokenIds).toEqual([1, 120, 2, 121, 3, 122]);
  expect(sent?.request.maxTokens).toBe(5);
  expect(await (await ask({ input_prefix: 'x', n_predict: 5 })).json()).toMatchObject({
    content: 'abc;d',
    stop_type: 'limit',
    stopping_word: '',
  });
  await ask({ input_prefix: 'x', n_predict: -1, repeat_penalty: 1.5, seed: 3 });
  const { maxTokens, sampling } = engine.submitted[2]?.request ?? {};
  expect([maxTokens, sampling?.repetitionPenalty]).toEqual([256 - 4, 1.5]);
});

test('streamed: an event for each text, and the last one says so', async () => {
  const { ask } = await start(GAP);
  const text = await (await ask({ input_prefix: 'x', n_predict: 5, stream: true })).text();
  const events = text
    .split('\n\n')
    .filter((event) => event !== '')
    .map((event) => JSON.parse(event.replace('data: ', '')) as { content: string; stop: boolean });
  expect(events.map(({ content }) => content).join('')).toBe('abc;d');
  expect(events.map(({ stop }) => stop)).toEqual([false, false, true]);
});

test('other files come first, by the tokens for them or as text', async () => {
  const body = { input_prefix: 'x', input_extra: [{ filename: 'f', text: 't' }], n_predict: 5 };
  const files = await start({ ...GAP, ...FILES });
  await files.ask(body);
  const all = files.engine.submitted[0]?.request.promptTokenIds ?? [];
  expect(all).toEqual([
    4,
    ...bytesOf('myproject\n'),
    5,
    ...bytesOf('f\nt'),
    5,
    ...bytesOf('filename\n'),
    1,
    120,
    2,
    3,
  ]);
  expect(files.engine.submitted[0]?.request.stopTokenIds).toContain(5);
  const plain = await start(GAP);
  await plain.ask(body);
  const [request] = plain.engine.submitted;
  expect(request?.request.promptTokenIds).toEqual([...bytesOf('t\n'), 1, 120, 2, 3]);
});

test('a model without such tokens is a 400', async () => {
  const { ask } = await start({});
  const response = await ask({ input_prefix: 'x' });
  expect([response.status, await response.json()]).toMatchObject([
    400,
    { error: { param: 'input_prefix' } },
  ]);
});
