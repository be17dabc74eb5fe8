import { type AIMessageChunk, HumanMessage, ToolMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import { ChatOpenAI, type ChatOpenAIFields, OpenAI, OpenAIEmbeddings } from '@langchain/openai';
import { beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { startSharedOctavo } from '../support/octavo-process.js';

const CAPITAL = 'What is the capital of France?';
const PARIS = 'The capital of France is Paris.';

const Person = z.object({ name: z.string(), age: z.number() });
const ASK_PERSON = 'Give me a JSON object with name Tom and age 7.';
const TOM = { name: 'Tom', age: 7 };

const weather = tool(() => JSON.stringify({ temperature: 21, sky: 'sunny' }), {
  name: 'get_weather',
  description: 'Get the weather in a city',
  schema: z.object({ city: z.string() }),
});

async function joined(chunks: AsyncIterable<AIMessageChunk>): Promise<AIMessageChunk> {
  const all: AIMessageChunk[] = [];
  for await (const chunk of chunks) all.push(chunk);
  const [first, ...others] = all;
  if (!first) throw new Error('an empty stream');
  return others.reduce((whole, chunk) => whole.concat(chunk), first);
}

describe('@langchain/openai', () => {
  let fields: ChatOpenAIFields;
  beforeAll(async () => {
    const { url, kill } = await startSharedOctavo();
    fields = {
      model: 'octavo-tiny',
      temperature: 0,
      apiKey: 'none',
      maxRetries: 0,
      configuration: { baseURL: `${url}/v1` },
    };
    return kill;
  });

  describe.each([
    ['chat completions', false],
    ['responses', true],
  ])('ChatOpenAI over %s', (_, useResponsesApi) => {
    const chat = (more: ChatOpenAIFields = {}): ChatOpenAI =>
      new ChatOpenAI({ ...fields, useResponsesApi, ...more });

    it('chats, and counts tokens', async () => {
      const { text, usage_metadata: usage } = await chat().invoke(CAPITAL);
      expect(text).toBe(PARIS);
      expect(usage).toMatchObject({ input_tokens: 11, output_tokens: 8, total_tokens: 19 });
    });

    it('streams', async () => {
      let pieces = 0;
      const counted = async function* (): AsyncGenerator<AIMessageChunk> {
        for await (const chunk of await chat().stream(CAPITAL)) {
          if (chunk.text !== '') pieces++;
          yield chunk;
        }
      };
      const { text, usage_metadata: usage } = await joined(counted());
      expect(text).toBe(PARIS);
      expect(pieces).toBeGreaterThan(4);
      expect(usage).toMatchObject({ input_tokens: 11, output_tokens: 8, total_tokens: 19 });
    });

    it.each(['whole', 'streamed'])('calls a tool and gives its result back, %s', async (way) => {
      const model = chat().bindTools([weather]);
      const question = new HumanMessage('What is the weather in Paris?');
      const ask = async (
        messages: (HumanMessage | AIMessageChunk | ToolMessage)[],
      ): Promise<AIMessageChunk> =>
        way === 'whole' ? model.invoke(messages) : joined(await model.stream(messages));
      const asking = await ask([question]);
      const [call] = asking.tool_calls ?? [];
      expect(call).toMatchObject({ name: 'get_weather', args: { city: 'Paris' } });
      const result: unknown = await weather.invoke({
        name: 'get_weather',
        args: { city: 'Paris' },
        id: call?.id ?? '',
        type: 'tool_call',
      });
      if (!ToolMessage.isInstance(result)) throw new Error('no result');
      const { text } = await ask([question, asking, result]);
      expect(text).toBe('It is 21 degrees and sunny in Paris.');
    });

    it('must call the function that is named', async () => {
      const model = chat().bindTools([weather], { tool_choice: 'get_weather', strict: true });
      const { tool_calls: calls } = await model.invoke('Hello!');
      expect(calls?.map(({ name }) => name)).toEqual(['get_weather']);
    });

    it('keeps to a schema', async () => {
      const model = chat().withStructuredOutput(Person, { name: 'person', strict: true });
      expect(await model.invoke(ASK_PERSON)).toEqual(TOM);
    });

    it('says what is wrong', async () => {
      await expect(chat({ model: 'gpt-9' }).invoke('Hello!')).rejects.toMatchObject({
        status: 404,
        code: 'model_not_found',
      });
    });
  });

  // Over responses it sends nothing of such a choice.
  it('must call any function', async () => {
    const model = new ChatOpenAI(fields).bindTools([weather], { tool_choice: 'any' });
    const { tool_calls: calls } = await model.invoke('Hello!');
    expect(calls?.map(({ name }) => name)).toEqual(['get_weather']);
  });

  it('keeps to a schema by a function call, or to JSON only', async () => {
    const chat = new ChatOpenAI(fields);
    const call = chat.withStructuredOutput(Person, { method: 'functionCalling', name: 'person' });
    expect(Person.safeParse(await call.invoke(ASK_PERSON)).error).toBeUndefined();
    const json = chat.withStructuredOutput(Person, { method: 'jsonMode' });
    expect(await json.invoke(ASK_PERSON)).toEqual(TOM);
  });

  it('gives several choices, with log-probabilities', async () => {
    const chat = new ChatOpenAI({ ...fields, n: 2, logprobs: true, topLogprobs: 3, maxTokens: 4 });
    const { generations } = await chat.generate([[new HumanMessage('Hello!')]]);
    expect(generations[0]).toHaveLength(2);
    for (const { generationInfo } of generations[0] ?? []) {
      const top_logprobs: unknown = Array.from({ length: 3 }, () => expect.anything() as unknown);
      const content = Array.from(
        { length: 4 },
        () => expect.objectContaining({ top_logprobs }) as unknown,
      );
      expect(generationInfo).toMatchObject({ finish_reason: 'length', logprobs: { content } });
    }
  });

  it('embeds', async () => {
    const embeddings = new OpenAIEmbeddings({ ...fields, batchSize: 2 });
    const one = await embeddings.embedQuery('a cat');
    const three = await embeddings.embedDocuments(['the sea', 'a dog', 'a cat']);
    expect(three).toHaveLength(3);
    const cosine = one.reduce((sum, x, i) => sum + x * (three[2]?.[i] ?? 0), 0);
    expect(cosine).toBeCloseTo(1, 5);
    const short = new OpenAIEmbeddings({ ...fields, dimensions: 16 });
    expect(await short.embedQuery('a cat')).toHaveLength(16);
  });

  it('completes, whole and streamed', async () => {
    const llm = new OpenAI({ ...fields, maxTokens: 8 });
    const whole = await llm.invoke('Once upon a time');
    const pieces: string[] = [];
    for await (const piece of await llm.stream('Once upon a time')) pieces.push(piece);
    expect(whole).not.toBe('');
    expect(pieces.join('')).toBe(whole);
  });
});
