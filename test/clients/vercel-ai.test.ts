import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import {
  APICallError,
  embed,
  embedMany,
  generateObject,
  generateText,
  type LanguageModel,
  Output,
  stepCountIs,
  streamObject,
  streamText,
  tool,
} from 'ai';
import { beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { SLOW_MODEL, startSharedOctavo } from '../support/octavo-process.js';

const Person = z.object({ name: z.string(), age: z.number() });
const ASK_PERSON = 'Give me a JSON object with name Tom and age 7.';
const TOM = { name: 'Tom', age: 7 };

const ASK_WEATHER = 'What is the weather in Paris?';
const WEATHER = 'It is 21 degrees and sunny in Paris.';

describe("the Vercel AI SDK's OpenAI-compatible provider", () => {
  let provider: ReturnType<typeof createOpenAICompatible>;
  let model: Exclude<LanguageModel, string>;
  beforeAll(async () => {
    const { url, kill } = await startSharedOctavo([], SLOW_MODEL);
    provider = createOpenAICompatible({
      name: 'octavo',
      baseURL: `${url}/v1`,
      includeUsage: true,
      supportsStructuredOutputs: true,
    });
    model = provider.chatModel('octavo-tiny');
    return kill;
  });

  const asked: unknown[] = [];
  const tools = {
    get_weather: tool({
      description: 'Get the weather in a city',
      inputSchema: z.object({ city: z.string() }),
      execute: (input) => {
        asked.push(input);
        return { temperature: 21, sky: 'sunny' };
      },
    }),
  };

  it('chats, and counts tokens', async () => {
    const { text, finishReason, usage, warnings } = await generateText({
      model,
      messages: [
        { role: 'user', content: 'Hello!' },
        { role: 'assistant', content: 'Hi!' },
        { role: 'user', content: [{ type: 'text', text: 'What is the capital of France?' }] },
      ],
      temperature: 0,
    });
    expect([text, finishReason, warnings]).toEqual(['The capital of France is Paris.', 'stop', []]);
    expect(usage).toMatchObject({ outputTokens: 8, outputTokenDetails: { reasoningTokens: 0 } });
    expect(usage.totalTokens).toBe((usage.inputTokens ?? 0) + 8);
  });

  it('streams, up to the limit', async () => {
    const { textStream, usage, finishReason } = streamText({
      model,
      prompt: 'Count from 3 to 12.',
      temperature: 0,
      maxOutputTokens: 10,
    });
    const pieces: string[] = [];
    for await (const piece of textStream) pieces.push(piece);
    expect(pieces.length).toBeGreaterThan(5);
    expect(pieces.join('')).toMatch(/^3, 4, 5,/);
    expect(await finishReason).toBe('length');
    expect(await usage).toMatchObject({ outputTokens: 10 });
  });

  it('ends a stream when the caller has enough', async () => {
    const controller = new AbortController();
    const { fullStream } = streamText({
      model,
      prompt: 'Tell me a story about an owl.',
      abortSignal: controller.signal,
    });
    const types: string[] = [];
    for await (const { type } of fullStream) {
      types.push(type);
      if (type === 'text-delta') controller.abort();
    }
    expect(types.at(-1)).toBe('abort');
  });

  it('calls a tool and gives its result back', async () => {
    asked.length = 0;
    const { text, steps, totalUsage } = await generateText({
      model,
      tools,
      stopWhen: stepCountIs(3),
      prompt: ASK_WEATHER,
      temperature: 0,
    });
    expect(asked).toEqual([{ city: 'Paris' }]);
    expect(steps.map(({ finishReason }) => finishReason)).toEqual(['tool-calls', 'stop']);
    expect(text).toBe(WEATHER);
    expect(totalUsage.inputTokenDetails.cacheReadTokens).toBeGreaterThan(0);
  });

  it('the same, streamed', async () => {
    asked.length = 0;
    const { fullStream, text } = streamText({
      model,
      tools,
      stopWhen: stepCountIs(3),
      prompt: ASK_WEATHER,
      temperature: 0,
    });
    let args = '';
    const types = new Set<string>();
    for await (const part of fullStream) {
      types.add(part.type);
      if (part.type === 'tool-input-delta') args += part.delta;
    }
    expect([...types]).toEqual(expect.arrayContaining(['tool-input-start', 'tool-result']));
    expect([...types]).not.toContain('error');
    expect(JSON.parse(args)).toEqual({ city: 'Paris' });
    expect(asked).toEqual([{ city: 'Paris' }]);
    expect(await text).toBe(WEATHER);
  });

  it.each(['required', { type: 'tool', toolName: 'get_weather' }] as const)(
    'must call with toolChoice %j',
    async (toolChoice) => {
      const prompt = 'Hello!';
      const { toolCalls } = await generateText({
        model,
        tools,
        toolChoice,
        prompt,
        temperature: 0,
      });
      expect(toolCalls.map(({ toolName }) => toolName)).toEqual(['get_weather']);
    },
  );

  it('generates objects: of a schema, one of an enum, without a schema', async () => {
    const request = { model, prompt: ASK_PERSON, temperature: 0 };
    expect((await generateObject({ ...request, schema: Person })).object).toEqual(TOM);
    expect((await generateObject({ ...request, output: 'no-schema' })).object).toEqual(TOM);
    const color = await generateObject({
      ...request,
      output: 'enum',
      enum: ['red', 'green'],
      prompt: 'What colour is grass?',
    });
    expect(color.object).toBe('green');
    const { output } = await generateText({
      ...request,
      output: Output.object({ schema: Person }),
    });
    expect(output).toEqual(TOM);
  });

  it('streams an object as it grows', async () => {
    const { partialObjectStream, object } = streamObject({
      model,
      schema: Person,
      prompt: ASK_PERSON,
      temperature: 0,
    });
    const partial: unknown[] = [];
    for await (const piece of partialObjectStream) partial.push(piece);
    expect(partial.length).toBeGreaterThan(1);
    expect(partial.at(-1)).toEqual(TOM);
    expect(await object).toEqual(TOM);
  });

  it('embeds', async () => {
    const embedder = provider.embeddingModel('octavo-tiny');
    const one = await embed({ model: embedder, value: 'a cat' });
    const two = await embedMany({ model: embedder, values: ['a cat', 'the sea'] });
    expect(two.embeddings).toHaveLength(2);
    expect(two.usage.tokens).toBeGreaterThan(one.usage.tokens);
    const [cat = []] = two.embeddings;
    const cosine = cat.reduce((sum, x, i) => sum + x * (one.embedding[i] ?? 0), 0);
    expect(cosine).toBeCloseTo(1, 5);
  });

  it('completes', async () => {
    const { text, finishReason } = await generateText({
      model: provider.completionModel('octavo-tiny'),
      prompt: 'Hello!',
      temperature: 0,
      maxOutputTokens: 5,
    });
    expect(text).not.toBe('');
    expect(finishReason).toBe('length');
  });

  it('sees what is wrong, and does not try again', async () => {
    const error: unknown = await generateText({
      model: provider.chatModel('gpt-9'),
      prompt: 'Hello!',
    }).catch((thrown: unknown) => thrown);
    if (!APICallError.isInstance(error)) throw error;
    expect(error).toMatchObject({
      statusCode: 404,
      isRetryable: false,
      message: "the model 'gpt-9' does not exist",
    });
  });
});
