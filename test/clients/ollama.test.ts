import { beforeAll, describe, expect, it } from 'vitest';
import { startSharedOctavo } from '../support/octavo-process.js';
import { Ollama } from '../support/ollama-client.js';

const model = 'octavo-tiny';
const PARIS = 'The capital of France is Paris.';
const ask = {
  model,
  messages: [{ role: 'user', content: 'What is the capital of France?' }],
  options: { temperature: 0 },
};

describe('ollama', () => {
  let client: Ollama;
  beforeAll(async () => {
    const server = await startSharedOctavo(['--api-key', 'right']);
    client = new Ollama({ host: server.url, headers: { authorization: 'Bearer right' } });
    return server.kill;
  });

  it('chat, whole and streamed', async () => {
    const { message, eval_count } = await client.chat(ask);
    expect([message.content, eval_count]).toEqual([PARIS, 8]);
    let text = '';
    for await (const part of client.stream('chat', { ...ask })) {
      text += part.message.content;
    }
    expect(text).toBe(PARIS);
  });

  it('chat with a tool', async () => {
    const { message } = await client.chat({
      model,
      messages: [{ role: 'user', content: 'What is the weather in Paris?' }],
      options: { temperature: 0 },
      tools: [
        {
          type: 'function',
          function: {
            name: 'get_weather',
            description: 'Get the weather in a city',
            parameters: {
              type: 'object',
              properties: { city: { type: 'string' } },
              required: ['city'],
            },
          },
        },
      ],
    });
    expect(message.tool_calls?.map((call) => call.function)).toEqual([
      { index: 0, name: 'get_weather', arguments: { city: 'Paris' } },
    ]);
  });

  it('chat by a schema', async () => {
    const { message } = await client.chat({
      ...ask,
      messages: [{ role: 'user', content: 'Give me a JSON object with name Tom and age 7.' }],
      format: {
        type: 'object',
        properties: { name: { type: 'string' }, age: { type: 'integer' } },
        required: ['name', 'age'],
      },
    });
    expect(JSON.parse(message.content)).toEqual({ name: 'Tom', age: 7 });
  });

  it('generate, embed, list, ps and show', async () => {
    const { response } = await client.generate({
      model: 'octavo-tiny:latest',
      prompt: ask.messages[0].content,
      options: { temperature: 0 },
    });
    expect(response).toBe(PARIS);
    const { embeddings } = await client.embed({ model, input: ['an owl', 'a cat'] });
    expect(embeddings).toHaveLength(2);
    const [listed] = (await client.list()).models;
    expect(listed).toMatchObject({ name: 'octavo-tiny:latest', details: { format: 'onnx' } });
    expect(listed.size).toBeGreaterThan(1e6);
    expect((await client.ps()).models[0].digest).toBe(listed.digest);
    const { capabilities, model_info } = await client.show({ model });
    expect(capabilities).toContain('tools');
    expect(Object.entries(model_info)).toContainEqual(['llama.context_length', 2048]);
  });

  it('an error has the words of the server', async () => {
    const failed = client.chat({ ...ask, model: 'llama3.2' });
    await expect(failed).rejects.toMatchObject({
      status_code: 404,
      error: "the model 'llama3.2' does not exist",
    });
  });
});
