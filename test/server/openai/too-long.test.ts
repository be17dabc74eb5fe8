import { request } from 'node:http';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test, vi } from 'vitest';
import { loadServedModel } from '../../../engine/text/served-model.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import { eventually, startTestServer, stopTestServers } from '../../support/test-server.js';

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
  const engine = new ScriptedEngine(() => ({ steps: [[5]], finish: 'length' }), {
    maxModelLength: 2048,
  });
  const server = await startTestServer(engine, { model: served });
  const start = performance.now();
  const input = [...manyMessages, { role: 'user', content: 'the last' }];
  const response = await server.post('/v1/responses', { input, truncation: 'auto' });
  expect(response.status).toBe(200);
  const ids = engine.submitted[0]?.request.promptTokenIds ?? [];
  expect(ids.length).toBeGreaterThan(1000);
  expect(served.tokenizer.decode(ids, { skipSpecialTokens: false })).toContain('the last');
  // All of it would be seventeen times four seconds.
  expect(performance.now() - start).toBeLessThan(15_000);
});

/** A tokenizer that says how much it cut between two turns of the event loop. */
async function watched(served: Awaited<ReturnType<typeof loadServedModel>>) {
  const seen = { total: 0, most: 0, now: 0 };
  const encode = served.tokenizer.encode.bind(served.tokenizer);
  served.tokenizer.encode = (text, options) => {
    seen.total += text.length;
    seen.now += text.length;
    seen.most = Math.max(seen.most, seen.now);
    setImmediate(() => (seen.now = 0));
    return encode(text, options);
  };
  const engine = new ScriptedEngine(
    ({ pooling }) =>
      pooling === null
        ? { steps: [[5]], finish: 'length' }
        : { steps: [[]], finish: 'stop', embedding: new Float32Array(64).fill(1) },
    { maxModelLength: 2048, vocabSize: 2048 },
  );
  return { seen, engine, server: await startTestServer(engine, { model: served }) };
}

const batch = Array.from({ length: 200 }, () => 'word '.repeat(400));

test.each(['/v1/completions', '/v1/embeddings'])(
  '%s lets others run between the prompts of a batch',
  async (path) => {
    const { seen, server } = await watched(await loadServedModel(TINY, []));
    const response = await server.post(path, { prompt: batch, input: batch, max_tokens: 1 });
    const failures = server.log.filter(({ level }) => Number(level) >= 50);
    expect([response.status, failures]).toEqual([200, []]);
    expect(seen.total).toBe(200 * 2000);
    expect(seen.most).toBeLessThan(20_000);
  },
);

test('a batch whose client has left is not cut to its end', async () => {
  const { seen, engine, server } = await watched(await loadServedModel(TINY, []));
  const call = request(`${server.url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
  });
  call.on('error', () => undefined);
  call.end(JSON.stringify({ prompt: batch, max_tokens: 1 }));
  await eventually(() => seen.total > 0, 'start');
  call.destroy();
  await eventually(() => server.log.some(({ msg }) => msg === 'request'), 'log line');
  const { total } = seen;
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect([total, engine.submitted]).toEqual([seen.total, []]);
  expect(total).toBeLessThan(200 * 2000);
});

test.each<[string, string, RegExp]>([
  ['prompt', `[${'[1],'.repeat(1_000_000)}[1]]`, /^prompt/],
  ['messages', `[${'{},'.repeat(1_000_000)}{}]`, /^missing required field messages\[0\]/],
  ['stop_token_ids', `[${'1,'.repeat(1_000_000)}"x"]`, /^the body is not valid, behind/],
  ['metadata', `{${Array.from({ length: 300_000 }, (_, i) => `"${i}":1`).join(',')}}`, /^metadata/],
])('what is wrong with millions of values is found in time: %s', async (field, text, message) => {
  const server = await startTestServer(new ScriptedEngine(() => ({ steps: [], finish: null })));
  const start = performance.now();
  const path = field === 'messages' ? '/v1/chat/completions' : '/v1/completions';
  const prompt = field === 'prompt' ? '' : '"prompt":"x",';
  const response = await server.post(path, `{${prompt}"${field}":${text}}`);
  expect(response.status).toBe(400);
  const { error } = (await response.json()) as { error: { message: string } };
  expect(error.message).toMatch(message);
  // Quiet, all of them take half a second; looked at as a whole, ten.
  expect(performance.now() - start).toBeLessThan(6000);
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
  const turns: number[] = [];
  let last = performance.now();
  const timer = setInterval(() => {
    turns.push(performance.now() - last);
    last = performance.now();
  }, 1);
  const answer = (await (await server.post('/detokenize', { tokens })).json()) as {
    prompt: string;
  };
  clearInterval(timer);
  expect(answer.prompt === 'Grüße, 🐙 owl! '.repeat(20_000)).toBe(true);
  expect(turns.length).toBeGreaterThan(Math.floor(tokens.length / 16_384));
});
