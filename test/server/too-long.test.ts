import { fileURLToPath } from 'node:url';
import { afterEach, expect, test, vi } from 'vitest';
import { loadServedModel } from '../../server/text/served-model.js';
import { ScriptedEngine } from '../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../support/test-server.js';

afterEach(stopTestServers);

const TINY = fileURLToPath(new URL('../../models/octavo-tiny', import.meta.url));
const megabytes = 'word '.repeat(1_000_000);

// Cutting 5 MB into tokens takes seconds on the thread that serves everybody.
test.each([
  ['/v1/completions', { prompt: megabytes }, 'prompt'],
  ['/v1/embeddings', { input: ['x', megabytes] }, 'input'],
  ['/v1/chat/completions', { messages: [{ role: 'user', content: megabytes }] }, 'messages'],
  ['/v1/responses', { input: megabytes }, 'input'],
])('%s refuses megabytes without cutting them into tokens', async (path, body, param) => {
  const served = await loadServedModel(TINY, []);
  const encode = vi.spyOn(served.tokenizer, 'encode');
  const engine = new ScriptedEngine(() => ({ steps: [], finish: null }), { maxModelLength: 2048 });
  const server = await startTestServer(engine, { model: served });
  const response = await server.post(path, body);
  expect(response.status).toBe(400);
  const { error } = (await response.json()) as { error: Record<string, string> };
  expect(error).toMatchObject({ code: 'context_length_exceeded', param });
  expect(error['message']).toMatch(/context is 2048 tokens, and \w+ has at least \d+/);
  const encoded = encode.mock.calls.map(([text]) => text).join('');
  expect(encoded.length).toBeLessThan(100);
});
