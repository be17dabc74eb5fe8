import OpenAI from 'openai';
import { expect, it } from 'vitest';
import { startOctavo } from '../support/octavo-process.js';

const MODEL = 'octavo-tiny';

const WEATHER: OpenAI.Responses.FunctionTool = {
  type: 'function',
  name: 'get_weather',
  description: 'Get the weather in a city',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  strict: null,
};

it('octavo-tiny calls a tool, speaks of its result, follows a schema, and embeds', async () => {
  const { url } = await startOctavo();
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });

  const asked = { model: MODEL, temperature: 0, tools: [WEATHER] };
  const stream = client.responses.stream({ ...asked, input: 'What is the weather in Paris?' });
  const first = await stream.finalResponse();
  const call = first.output.find((item) => item.type === 'function_call');
  expect(call).toMatchObject({ name: 'get_weather', status: 'completed' });
  expect(JSON.parse(call?.arguments ?? '')).toEqual({ city: 'Paris' });
  const output = JSON.stringify({ city: 'Paris', weather: 'sunny', temperature: 21 });
  const second = await client.responses.create({
    ...asked,
    previous_response_id: first.id,
    input: [{ type: 'function_call_output', call_id: call?.call_id ?? '', output }],
  });
  expect(second.output_text).toContain('21');
  // The first turn is the beginning of the second one's prompt.
  expect(second.usage?.input_tokens_details.cached_tokens).toBeGreaterThan(0);

  // Not what it would say by itself: the schema has other fields than the question.
  const schema = {
    type: 'object',
    properties: { weight: { enum: [1, 2] }, awake: { type: 'boolean' } },
    required: ['weight', 'awake'],
    additionalProperties: false,
  };
  const formed = await client.responses.create({
    model: MODEL,
    input: 'Give me a JSON object with name Tom and age 7.',
    text: { format: { type: 'json_schema', name: 'owl', schema } },
  });
  expect(JSON.parse(formed.output_text)).toEqual({
    weight: expect.any(Number) as number,
    awake: expect.any(Boolean) as boolean,
  });

  const input = ['The owl lives in a tree.', 'What is 12 + 7?'];
  const together = await client.embeddings.create({ model: MODEL, input });
  const vectors = together.data.map(({ embedding }) => embedding);
  for (const [i, text] of input.entries()) {
    const alone = await client.embeddings.create({ model: MODEL, input: text });
    const dot = alone.data[0]?.embedding.reduce((sum, x, j) => sum + x * (vectors[i]?.[j] ?? 0), 0);
    expect(dot).toBeCloseTo(1, 4);
  }
  const across = vectors[0]?.reduce((sum, x, j) => sum + x * (vectors[1]?.[j] ?? 0), 0);
  expect(across).toBeLessThan(0.99);
});
