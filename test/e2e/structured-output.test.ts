import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { schemaArbitrary } from '../engine/grammar/schema-arbitrary.js';
import { startOctavo } from '../support/octavo-process.js';

const PERSON = {
  type: 'object',
  properties: {
    name: { type: 'string', minLength: 1 },
    age: { type: 'integer', minimum: 0, maximum: 150 },
  },
  required: ['name', 'age'],
  additionalProperties: false,
};

describe('structured output, with the embedded model and the official client', () => {
  it('writes what the schema says, and other requests write what they write alone', async () => {
    const { url } = await startOctavo();
    const api = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
    const ask = async (content: string, more: object): Promise<OpenAI.ChatCompletion.Choice[]> => {
      const messages = [{ role: 'user' as const, content }];
      const body = { model: 'octavo-tiny', messages, max_tokens: 300, seed: 3, ...more };
      return (await api.chat.completions.create({ ...body, stream: false })).choices;
    };
    const schema = {
      type: 'json_schema',
      json_schema: { name: 'person', strict: true, schema: PERSON },
    };

    // Its own way to write JSON is within the grammar.
    const question = 'Give me a JSON object with name Tom and age 7.';
    const [own] = await ask(question, { temperature: 0 });
    const [constrained] = await ask(question, { temperature: 0, response_format: schema });
    expect(constrained.message.content).toBe(own.message.content);
    expect(constrained.finish_reason).toBe('stop');

    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    const validate = ajv.compile(PERSON);
    const alone = await ask('Tell me a story about an owl.', { temperature: 0.8 });
    const texts = (choices: OpenAI.ChatCompletion.Choice[]): (string | null)[] =>
      choices.map((c) => c.message.content);
    const people = { temperature: 1, n: 4, response_format: schema };
    const peopleAlone = await ask(question, people);
    const [neighbor, peopleTogether, color, word, any] = await Promise.all([
      ask('Tell me a story about an owl.', { temperature: 0.8 }),
      ask(question, people),
      ask('What colour is grass?', { guided_choice: ['red', 'green'], temperature: 0 }),
      ask('Hello!', { structured_outputs: { regex: '[a-c]{4}-\\d{2}' }, temperature: 1 }),
      ask('Hello!', { response_format: { type: 'json_object' }, temperature: 1 }),
    ]);
    expect(texts(neighbor)).toEqual(texts(alone));
    expect(texts(peopleTogether)).toEqual(texts(peopleAlone));
    for (const { message, finish_reason } of peopleTogether) {
      expect(finish_reason).toBe('stop');
      expect(validate(JSON.parse(message.content ?? ''))).toBe(true);
    }
    expect(color[0].message.content).toBe('green');
    expect(word[0].message.content).toMatch(/^[a-c]{4}-\d{2}$/);
    if (any[0].finish_reason === 'stop')
      expect(JSON.parse(any[0].message.content ?? '')).toBeTypeOf('object');

    // Ignoring the end does not outlast the grammar.
    const [ignored] = await ask('Hello!', { guided_choice: ['yes', 'no'], ignore_eos: true });
    expect(ignored.finish_reason).toBe('stop');

    const stream = await api.chat.completions.create({
      model: 'octavo-tiny',
      messages: [{ role: 'user', content: question }],
      stream: true,
      response_format: schema as never,
    });
    let streamed = '';
    for await (const chunk of stream) streamed += chunk.choices[0]?.delta.content ?? '';
    expect(validate(JSON.parse(streamed))).toBe(true);

    await fc.assert(
      fc.asyncProperty(schemaArbitrary, fc.nat(1e6), async (random, seed) => {
        const choices = await ask('Hello!', { temperature: 1, seed, n: 2, guided_json: random });
        for (const { message, finish_reason } of choices) {
          if (finish_reason !== 'stop') continue;
          const check = ajv.compile(random);
          expect([message.content, check(JSON.parse(message.content ?? ''))]).toEqual([
            message.content,
            true,
          ]);
        }
      }),
      { numRuns: 6, seed: 9 },
    );
  });
});
