import { once } from 'node:events';
import { request, type ServerResponse } from 'node:http';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test, vi } from 'vitest';
import {
  InlinePrompts,
  type PromptMaker,
} from '../../../engine/generation/prompts/prompt-maker.js';
import { loadServedModel } from '../../../engine/text/served-model.js';
import { processorMs } from '../../support/processor-time.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../../support/test-server.js';

afterEach(stopTestServers);

const TINY = fileURLToPath(new URL('../../../models/octavo-tiny', import.meta.url));
const megabytes = 'word '.repeat(1_000_000);
const manyMessages = Array.from({ length: 100_000 }, () => ({ role: 'user', content: 'a' }));

// Tokenizing 5 MB takes seconds on the thread that serves all requests.
test.each<[string, object, string]>([
  ['/v1/completions', { prompt: megabytes }, 'prompt'],
  ['/v1/embeddings', { input: ['x', megabytes] }, 'input'],
  ['/v1/chat/completions', { messages: [{ role: 'user', content: megabytes }] }, 'messages'],
  ['/v1/responses', { input: megabytes }, 'input'],
  ['/v1/responses', { input: megabytes, truncation: 'auto' }, 'input'],
  ['/tokenize', { prompt: megabytes }, 'prompt'],
  ['/tokenize', { messages: [{ role: 'user', content: megabytes }] }, 'messages'],
  // A template writes each of them for some 40 us.
  ['/v1/chat/completions', { messages: manyMessages }, 'messages'],
  ['/v1/responses', { input: manyMessages }, 'input'],
  ['/tokenize', { messages: manyMessages }, 'messages'],
])('%s refuses megabytes without cutting them into tokens', async (path, body, param) => {
  const served = await loadServedModel(TINY, []);
  const encode = vi.spyOn(served.tokenizer, 'encode');
  const engine = new ScriptedEngine(() => ({ steps: [], finish: null }), { maxModelLength: 2048 });
  const server = await startTestServer(engine, { model: served });
  const response = await server.post(path, body);
  expect(response.status).toBe(400);
  const { error } = (await response.json()) as { error: Record<string, string> };
  expect(error).toMatchObject({ code: 'context_length_exceeded', param });
  expect(error['message']).toMatch(
    /^This model's maximum context length is 2048 tokens\. However, \w+ has at least \d+ tokens\.$/,
  );
  const encoded = encode.mock.calls.map(([text]) => text).join('');
  expect(encoded.length).toBeLessThan(100);
});

test('a long conversation is cut at its beginning without being written or cut into tokens as a whole', async () => {
  const served = await loadServedModel(TINY, []);
  const template = served.chatTemplate;
  if (!template) throw new Error('the model has no chat template');
  const render = vi.spyOn(template, 'renderPrompt');
  const encode = vi.spyOn(served.tokenizer, 'encode');
  const engine = new ScriptedEngine(() => ({ steps: [[5]], finish: 'length' }), {
    maxModelLength: 2048,
  });
  const server = await startTestServer(engine, { model: served });
  const input = [...manyMessages, { role: 'user', content: 'the last' }];
  const response = await server.post('/v1/responses', { input, truncation: 'auto' });
  expect(response.status).toBe(200);
  const ids = engine.submitted[0]?.request.promptTokenIds ?? [];
  expect(ids.length).toBeGreaterThan(1000);
  expect(served.tokenizer.decode(ids, { skipSpecialTokens: false })).toContain('the last');
  // Seventeen steps of a binary search, of which the first see far too many messages to try.
  const written = render.mock.calls.reduce((sum, [messages]) => sum + messages.length, 0);
  expect(written).toBeLessThan(17 * 2048);
  const encoded = encode.mock.calls.reduce((sum, [text]) => sum + text.length, 0);
  expect(encoded).toBeLessThan(500_000);
});

/** Counts work, and how much of it is done between two turns of the event loop. */
class TurnMeter {
  total = 0;
  most = 0;
  #now = 0;

  add(units: number): void {
    if (this.#now === 0) setImmediate(() => (this.#now = 0));
    this.total += units;
    this.#now += units;
    this.most = Math.max(this.most, this.#now);
  }
}

const batch = Array.from({ length: 200 }, () => 'word '.repeat(400));

test.each(['/v1/completions', '/v1/embeddings'])(
  '%s lets others run between the prompts of a batch',
  async (path) => {
    const served = await loadServedModel(TINY, []);
    const meter = new TurnMeter();
    const encode = served.tokenizer.encode.bind(served.tokenizer);
    served.tokenizer.encode = (text, options) => {
      meter.add(text.length);
      return encode(text, options);
    };
    const engine = new ScriptedEngine(
      ({ pooling }) =>
        pooling === null
          ? { steps: [[5]], finish: 'length' }
          : { steps: [[]], finish: 'stop', embedding: new Float32Array(64).fill(1) },
      { maxModelLength: 2048, vocabSize: 2048 },
    );
    const server = await startTestServer(engine, { model: served });
    const response = await server.post(path, { prompt: batch, input: batch, max_tokens: 1 });
    const failures = server.log.filter(({ level }) => Number(level) >= 50);
    expect([response.status, failures]).toEqual([200, []]);
    expect(meter.total).toBe(200 * 2000);
    expect(meter.most).toBeLessThan(20_000);
  },
);

test('a batch whose client has left is not cut to its end', async () => {
  const served = await loadServedModel(TINY, []);
  const engine = new ScriptedEngine(() => ({ steps: [[5]], finish: 'length' }), {
    maxModelLength: 2048,
  });
  // The client leaves while its first prompt is cut, and the server has seen that before the next.
  const inline = new InlinePrompts(served);
  let encoded = 0;
  const prompts: PromptMaker = {
    render: (messages, options) => inline.render(messages, options),
    encode: async (prompt, options) => {
      encoded += 1;
      call.destroy();
      await closed;
      return inline.encode(prompt, options);
    },
    close: () => inline.close(),
  };
  const server = await startTestServer(engine, { model: served, prompts });
  const closed = once(server.app.server, 'request').then(([, response]) =>
    once(response as ServerResponse, 'close'),
  );
  const call = request(`${server.url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
  });
  call.on('error', () => undefined);
  call.end(JSON.stringify({ prompt: batch, max_tokens: 1 }));
  await closed;
  // The next prompt would follow in the next turn of the event loop.
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  expect([encoded, engine.submitted.length]).toEqual([1, 0]);
});

test.each<[string, string, RegExp]>([
  ['prompt', `[${'[1],'.repeat(1_000_000)}[1]]`, /^prompt/],
  ['messages', `[${'{},'.repeat(1_000_000)}{}]`, /^missing required field messages\[0\]/],
  ['stop_token_ids', `[${'1,'.repeat(1_000_000)}"x"]`, /^the body is not valid, behind/],
  ['metadata', `{${Array.from({ length: 300_000 }, (_, i) => `"${i}":1`).join(',')}}`, /^metadata/],
])('what is wrong with millions of values is found in time: %s', async (field, text, message) => {
  const server = await startTestServer(new ScriptedEngine(() => ({ steps: [], finish: null })));
  const path = field === 'messages' ? '/v1/chat/completions' : '/v1/completions';
  const prompt = field === 'prompt' ? '' : '"prompt":"x",';
  const body = `{${prompt}"${field}":${text}}`;
  const spent = await processorMs(async () => {
    const response = await server.post(path, body);
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as { error: { message: string } };
    expect(error.message).toMatch(message);
  });
  // It takes a quarter of a second; looked at as a whole, ten.
  expect(spent).toBeLessThan(6000);
});

test('/detokenize decodes any number of tokens, in turns', async () => {
  const served = await loadServedModel(TINY, []);
  const server = await startTestServer(
    new ScriptedEngine(() => ({ steps: [], finish: null }), { vocabSize: 2048 }),
    {
      model: served,
    },
  );
  const tokens = served.tokenizer.encode('Grüße, 🐙 owl! '.repeat(20_000), {
    addSpecialTokens: false,
  });
  const meter = new TurnMeter();
  const create = served.tokenizer.createDetokenizer.bind(served.tokenizer);
  served.tokenizer.createDetokenizer = (options) => {
    const detokenizer = create(options);
    const push = detokenizer.push.bind(detokenizer);
    detokenizer.push = (id) => {
      meter.add(1);
      return push(id);
    };
    return detokenizer;
  };
  const answer = (await (await server.post('/detokenize', { tokens })).json()) as {
    prompt: string;
  };
  expect(answer.prompt === 'Grüße, 🐙 owl! '.repeat(20_000)).toBe(true);
  expect(meter.total).toBe(tokens.length);
  expect(meter.most).toBeLessThanOrEqual(16_384);
});
