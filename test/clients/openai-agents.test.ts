import { Agent, type Model, OpenAIProvider, run, setTracingDisabled, tool } from '@openai/agents';
import { beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { startSharedOctavo } from '../support/octavo-process.js';

const WEATHER = 'It is 21 degrees and sunny in Paris.';

describe('@openai/agents', () => {
  let baseURL = '';
  beforeAll(async () => {
    setTracingDisabled(true);
    const { url, kill } = await startSharedOctavo();
    baseURL = `${url}/v1`;
    return kill;
  });

  const modelOf = (useResponses: boolean): Promise<Model> =>
    new OpenAIProvider({ baseURL, apiKey: 'none', useResponses }).getModel('octavo-tiny');

  const asked: unknown[] = [];
  const weather = tool({
    name: 'get_weather',
    description: 'Get the weather in a city',
    parameters: z.object({ city: z.string() }),
    execute: (input) => {
      asked.push(input);
      return JSON.stringify({ temperature: 21, sky: 'sunny' });
    },
  });

  it.each(['chat', 'responses'])('calls a tool and answers with its result, by %s', async (api) => {
    const agent = new Agent({
      name: 'weather',
      model: await modelOf(api === 'responses'),
      modelSettings: { temperature: 0 },
      tools: [weather],
    });
    asked.length = 0;
    const result = await run(agent, 'What is the weather in Paris?');
    expect(asked).toEqual([{ city: 'Paris' }]);
    expect(result.finalOutput).toBe(WEATHER);
  });

  it('streams', async () => {
    const agent = new Agent({
      name: 'plain',
      model: await modelOf(true),
      modelSettings: { temperature: 0 },
    });
    const result = await run(agent, 'What is the capital of France?', { stream: true });
    let text = '';
    for await (const event of result) {
      if (event.type === 'raw_model_stream_event' && event.data.type === 'output_text_delta') {
        text += event.data.delta;
      }
    }
    expect(text).toBe('The capital of France is Paris.');
  });
});
