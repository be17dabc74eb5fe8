import { Ollama } from 'ollama';
import { beforeAll, describe, expect, it } from 'vitest';
import { SLOW_MODEL, startSharedOctavo } from '../support/octavo-process.js';

const model = 'octavo-tiny';
const PARIS = 'The capital of France is Paris.';
const ask = {
  model,
  messages: [{ role: 'user', content: 'What is the capital of France?' }],
  options: { temperature: 0 },
};

describe('ollama of npm', () => {
  let client: Ollama;
  beforeAll(async () => {
    const server = await startSharedOctavo([], SLOW_MODEL);
    client = new Ollama({ host: server.url });
    return server.kill;
  });

  it('chat, whole and streamed', async () => {
    const { message, done_reason } = await client.chat(ask);
    expect([message.content, done_reason]).toEqual([PARIS, 'stop']);
    let text = '';
    for await (const part of await client.chat({ ...ask, stream: true })) {
      text += part.message.content;
    }
    expect(text).toBe(PARIS);
  });

  it('a stream that is aborted ends', async () => {
    const messages = [{ role: 'user', content: 'Tell me a story about an owl.' }];
    const stream = await client.chat({ model, messages, stream: true });
    stream.abort();
    await expect(async () => {
      for await (const _part of stream) continue;
    }).rejects.toThrow(/abort/i);
  });

  it('tools and forms', async () => {
    const parameters = {
      type: 'object',
      properties: { city: { type: 'string' } },
      required: ['city'],
    };
    const { message } = await client.chat({
      ...ask,
      messages: [{ role: 'user', content: 'What is the weather in Paris?' }],
      tools: [
        {
          type: 'function',
          function: { name: 'get_weather', description: 'Get the weather in a city', parameters },
        },
      ],
    });
    expect(message.tool_calls?.[0]?.function).toMatchObject({
      name: 'get_weather',
      arguments: { city: 'Paris' },
    });
    const formed = await client.chat({
      ...ask,
      format: { type: 'object', properties: { is_capital: { type: 'boolean' } } },
    });
    expect(JSON.parse(formed.message.content)).toBeTypeOf('object');
  });

  it('generate, embed, list, show, ps and version', async () => {
    const { response } = await client.generate({
      model,
      prompt: 'Hello!',
      options: { num_predict: 3 },
    });
    expect(response).not.toBe('');
    const { embeddings } = await client.embed({ model, input: ['an owl', 'a fox'] });
    expect(embeddings).toHaveLength(2);
    expect((await client.list()).models.map(({ name }) => name)).toEqual([`${model}:latest`]);
    expect((await client.show({ model })).template).not.toBe('');
    expect((await client.ps()).models).toHaveLength(1);
    expect((await client.version()).version).toMatch(/^\d+\.\d+\.\d+/);
  });

  it('an unknown model is an error that says so', async () => {
    await expect(client.chat({ ...ask, model: 'other' })).rejects.toThrow(
      "the model 'other' does not exist",
    );
  });
});
