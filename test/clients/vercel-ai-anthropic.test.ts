import { createAnthropic } from '@ai-sdk/anthropic';
import { generateText, type LanguageModel, stepCountIs, streamText, tool } from 'ai';
import { beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { startSharedOctavo } from '../support/octavo-process.js';

describe("the Vercel AI SDK's Anthropic provider", () => {
  let model: LanguageModel;
  beforeAll(async () => {
    const { url, kill } = await startSharedOctavo();
    model = createAnthropic({ baseURL: `${url}/v1`, apiKey: 'none' })('octavo-tiny');
    return kill;
  });

  const ask = { prompt: 'What is the capital of France?', temperature: 0, maxOutputTokens: 32 };

  it('chats, whole and streamed', async () => {
    const { text, finishReason, usage } = await generateText({ model, ...ask });
    expect([text, finishReason]).toEqual(['The capital of France is Paris.', 'stop']);
    expect(usage.outputTokens).toBeGreaterThan(0);
    const { textStream } = streamText({ model, ...ask });
    let streamed = '';
    for await (const part of textStream) streamed += part;
    expect(streamed).toBe(text);
  });

  it('calls a tool and answers with its result', async () => {
    const asked: unknown[] = [];
    const { text } = await generateText({
      model,
      prompt: 'What is the weather in Paris?',
      temperature: 0,
      maxOutputTokens: 64,
      stopWhen: stepCountIs(3),
      tools: {
        get_weather: tool({
          description: 'Get the weather in a city',
          inputSchema: z.object({ city: z.string() }),
          execute: (input) => {
            asked.push(input);
            return { temperature: 21, sky: 'sunny' };
          },
        }),
      },
    });
    expect(asked).toEqual([{ city: 'Paris' }]);
    expect(text).toBe('It is 21 degrees and sunny in Paris.');
  });
});
