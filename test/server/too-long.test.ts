import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
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
  let encoded = 0;
  const tokenizer = Object.create(served.tokenizer, {
    encode: {
      value: (text: string, options: { addSpecialTokens: boolean }) => {
        encoded += text.length;
        return served.tokenizer.encode(text, options);
      },
    },
  }) as typeof served.tokenizer;
  const engine = new ScriptedEngine(() => ({ steps: [], finish: null }), { maxModelLength: 2048 });
  const server = await startTestServer(engine, { model: { ...served, tokenizer } });
  const response = await server.post(path, body);
  expect(response.status).toBe(400);
  const { error } = (await response.json()) as { error: Record<string, string> };
  expect(error).toMatchObject({ code: 'context_length_exceeded', param });
  expect(error['message']).toMatch(/context is 2048 tokens, and \w+ has at least \d+/);
  expect(encoded).toBeLessThan(100);
});
