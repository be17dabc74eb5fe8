import type OpenAI from 'openai';
import { afterEach, expect, test } from 'vitest';
import { OctavoError } from '../../../engine/errors.js';
import { bytesOf, EOS } from '../../support/byte-model.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../../support/test-server.js';

afterEach(stopTestServers);

const CHAT = '/v1/chat/completions';
const model = 'byte-model';
const messages = [{ role: 'user' as const, content: 'Hi' }];

const saying = (text: string): ScriptedEngine =>
  new ScriptedEngine(() => ({ steps: [...bytesOf(text), EOS].map((id) => [id]), finish: 'stop' }));

/** The events of a stream, without the end's marker. */
async function eventsOf(response: Response): Promise<OpenAI.ChatCompletionChunk[]> {
  const events = (await response.text()).split('\n\n').filter((event) => event !== '');
  const [done] = events.splice(-1);
  expect(done).toBe('data: [DONE]');
  return events.map((event) => JSON.parse(event.slice('data: '.length)) as never);
}

test.each([CHAT, '/v1/completions'])('usage in every chunk, on demand (%s)', async (path) => {
  const { post } = await startTestServer(saying('abc'));
  const request = { messages, prompt: 'Hi', stream: true };
  const options = { include_usage: true, continuous_usage_stats: true };
  const chunks = await eventsOf(await post(path, { ...request, stream_options: options }));
  const counts = chunks.map(({ usage }) => usage?.completion_tokens);
  const inText = chunks.slice(path === CHAT ? 1 : 0, -2).map(({ usage }) => usage);
  expect(counts.slice(0, path === CHAT ? 1 : 0)).toEqual(path === CHAT ? [0] : []);
  expect(inText.map((usage) => usage?.completion_tokens)).toEqual([1, 2, 3]);
  expect(inText.every((usage) => usage?.prompt_tokens === (path === CHAT ? 19 : 2))).toBe(true);
  // The stop token counts as well; the last chunk has no choices.
  expect(counts.slice(-2)).toEqual([4, 4]);
  expect(chunks.at(-1)?.choices).toEqual([]);
  const without = await eventsOf(
    await post(path, { ...request, stream_options: { continuous_usage_stats: true } }),
  );
  expect(without.every((chunk) => !('usage' in chunk))).toBe(true);
});

test('an error in one choice is the last event, and ends the others', async () => {
  const engine = new ScriptedEngine(({ sampling }) =>
    sampling.seed === 8
      ? { steps: [[65]], finish: null, error: new OctavoError('engine_failed', 'broken') }
      : { steps: [[65]], finish: null },
  );
  const { client } = await startTestServer(engine);
  const stream = await client.chat.completions.create({ model, messages, n: 3, stream: true });
  const read = async (): Promise<number> => {
    let chunks = 0;
    for await (const { choices } of stream) chunks += choices.length;
    return chunks;
  };
  await expect(read()).rejects.toMatchObject({ code: 'engine_failed', type: 'server_error' });
  expect(engine.alive).toEqual([]);
});

test('a stop string in the middle of an output ends the stream with the text before it', async () => {
  const engine = new ScriptedEngine(() => ({
    steps: [bytesOf('Grü'), bytesOf('ße, E'), bytesOf('ND and more')],
    finish: 'length',
  }));
  const { client } = await startTestServer(engine);
  const pieces: string[] = [];
  for await (const { choices } of await client.chat.completions.create({
    model,
    messages,
    stop: ['END'],
    stream: true,
  })) {
    const piece = choices[0]?.delta.content;
    if (piece) pieces.push(piece);
  }
  expect(pieces).toEqual(['Grü', 'ße, ']);
  expect(engine.submitted[0]?.ended).not.toBeNull();
});

test('a character whose bytes come in several outputs is one piece', async () => {
  const { client } = await startTestServer(saying('a🐙'));
  const pieces: string[] = [];
  for await (const { choices } of await client.completions.create({
    model,
    prompt: 'x',
    stream: true,
  })) {
    pieces.push(...choices.map(({ text }) => text));
  }
  expect(pieces).toEqual(['a', '🐙', '']);
});

test('an unfinished character at the end is shown as U+FFFD, with its tokens', async () => {
  const engine = new ScriptedEngine(() => ({ steps: [[0xf0], [0x9f]], finish: 'length' }));
  const { client } = await startTestServer(engine);
  const chunks: OpenAI.ChatCompletionChunk.Choice[] = [];
  for await (const { choices } of await client.chat.completions.create({
    model,
    messages,
    logprobs: true,
    stream: true,
  })) {
    chunks.push(...choices);
  }
  expect(chunks.map(({ delta }) => delta.content)).toEqual(['', '\uFFFD', undefined]);
  expect(chunks[1]?.logprobs?.content?.map(({ bytes }) => bytes)).toEqual([[0xf0], [0x9f]]);
});
