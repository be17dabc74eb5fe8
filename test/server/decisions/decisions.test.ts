import { afterEach, describe, expect, it } from 'vitest';
import type { EngineRequest } from '../../../engine/protocol/request.js';
import { byteModel, bytesOf } from '../../support/byte-model.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../../support/test-server.js';

afterEach(stopTestServers);

/** Of the labels, the first is half as likely as all, the second a quarter, and so on. */
const halving = ({ labels = [] }: EngineRequest): number[] =>
  labels.map((_, index) => -3 - (index + 1) * Math.LN2);

const engineOf = (): ScriptedEngine =>
  new ScriptedEngine(
    (request) => ({
      steps: [[]],
      finish: 'stop',
      cachedTokens: 4,
      labelLogprobs: halving(request),
    }),
    { maxModelLength: 2000 },
  );

async function ask(path: string, body: object, engine = engineOf()) {
  const server = await startTestServer(engine);
  const response = await server.post(path, { model: 'byte-model', ...body });
  const answer = (await response.json()) as Record<string, never> & {
    error: { message: string; param: string | null };
  };
  return { status: response.status, answer, engine };
}

const textOf = (request: EngineRequest): string => Buffer.from(request.promptTokenIds).toString();

describe('/v1/decisions', () => {
  const questions = [
    { type: 'predicate', name: 'angry', instructions: 'The customer is angry.' },
    {
      type: 'choice',
      instructions: 'What is it about?',
      choices: [{ value: 'billing', description: 'money' }, { value: true }, { value: 'other' }],
    },
    {
      type: 'score',
      name: 'urgency',
      instructions: [{ type: 'input_text', text: 'How urgent is it?' }],
      levels: [{ label: 'low' }, { label: 'high', description: 'today' }],
    },
  ];

  it('answers each question by the shares of its labels', async () => {
    const { answer, engine } = await ask('/v1/decisions', { input: 'Twice charged!', questions });
    const [first, second, third] = [4 / 7, 2 / 7, 1 / 7];
    const close = (value: number) => expect.closeTo(value, 6) as number;
    expect(answer).toMatchObject({
      model: 'byte-model',
      answers: [
        { type: 'predicate', name: 'angry', probability: close(2 / 3) },
        {
          type: 'choice',
          name: null,
          choice: 'billing',
          confidence: close(
            1 +
              (first * Math.log(first) + second * Math.log(second) + third * Math.log(third)) /
                Math.log(3),
          ),
          probabilities: [
            { value: 'billing', probability: close(first) },
            { value: true, probability: close(second) },
            { value: 'other', probability: close(third) },
          ],
        },
        {
          type: 'score',
          name: 'urgency',
          score: close(1 / 3),
          probabilities: [
            { value: 0, label: 'low', probability: close(2 / 3) },
            { value: 1, label: 'high', probability: close(1 / 3) },
          ],
        },
      ],
      usage: { output_tokens: 0, input_tokens_details: { cached_tokens: 12 } },
    });
    const requests = engine.submitted.map(({ request }) => request);
    expect(requests.map(({ labels }) => labels)).toEqual([
      bytesOf('AB'),
      bytesOf('ABC'),
      bytesOf('AB'),
    ]);
    expect(requests.every(({ maxTokens, pooling }) => maxTokens === 0 && pooling === null)).toBe(
      true,
    );
    const prompt = requests[1] ? textOf(requests[1]) : '';
    expect(prompt).toBe(
      '<user>Twice charged!\n\nWhat is it about?\n\nAnswer with the letters of one option only.\n' +
        'A: billing (money)\nB: true\nC: other<assistant>',
    );
  });

  it('asks behind a conversation, in a message of its own after an assistant', async () => {
    const input = [
      { role: 'developer', content: 'Be strict.' },
      {
        role: 'user',
        content: [
          { type: 'input_text', text: 'Hi' },
          { type: 'input_json', data: { a: 1 } },
        ],
      },
      { type: 'message', role: 'assistant', content: 'Hello' },
    ];
    const { engine } = await ask('/v1/decisions', { input, questions: [questions[0]] });
    const [sent] = engine.submitted;
    expect(sent ? textOf(sent.request) : '').toMatch(
      /^<system>Be strict\.<user>Hi\n\{"a":1\}<assistant>Hello<user>The customer is angry\./,
    );
  });

  it('computes the first question before the others, which find its prefix cached', async () => {
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const engine = new ScriptedEngine(
      (request) => ({
        steps: [[]],
        finish: 'stop',
        labelLogprobs: halving(request),
        beforeStep: () => held,
      }),
      { maxModelLength: 2000 },
    );
    const asked = ask('/v1/decisions', { input: 'x', questions }, engine);
    await expect.poll(() => engine.submitted.length).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(engine.submitted.length).toBe(1);
    release();
    expect((await asked).status).toBe(200);
    expect(engine.submitted.length).toBe(3);
  });

  const predicate = { type: 'predicate', instructions: 'x' };
  it.each([
    ['no questions', { input: 'x', questions: [] }],
    [
      '401 questions',
      { input: 'x', questions: Array.from({ length: 401 }, () => ({ ...predicate })) },
    ],
    [
      'one choice',
      { input: 'x', questions: [{ ...predicate, type: 'choice', choices: [{ value: 'a' }] }] },
    ],
    [
      'equal choices',
      {
        input: 'x',
        questions: [{ ...predicate, type: 'choice', choices: [{ value: 'a' }, { value: 'a' }] }],
      },
    ],
    [
      'equal names',
      {
        input: 'x',
        questions: [
          { ...predicate, name: 'a' },
          { ...predicate, name: 'a' },
        ],
      },
    ],
    [
      'an image',
      {
        input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'data:,' }] }],
        questions: [predicate],
      },
    ],
    [
      'more options than labels',
      {
        input: 'x',
        questions: [
          {
            ...predicate,
            type: 'choice',
            choices: Array.from({ length: 27 }, (_, i) => ({ value: `v${i}` })),
          },
        ],
      },
    ],
    ['a long input', { input: 'x'.repeat(3000), questions: [predicate] }],
  ])('refuses %s', async (_, body) => {
    const { status, answer, engine } = await ask('/v1/decisions', body);
    expect({ status, message: answer.error.message }).toMatchObject({ status: 400 });
    expect(engine.submitted).toEqual([]);
  });
});

describe('/v1/systemone', () => {
  it('answers named questions about a state', async () => {
    const { answer, engine } = await ask('/v1/systemone', {
      state: { order: 7 },
      questions: {
        late: { type: 'noul', instructions: 'Is it late?', criteria: { true: 'after Monday' } },
        kind: { type: 'choice', instructions: 'Which?', criteria: { a: null, b: 'the other' } },
        size: { type: 'score', instructions: 'How large?', criteria: ['small', 'large'] },
      },
    });
    const close = (value: number) => expect.closeTo(value, 6) as number;
    expect(answer).toMatchObject({
      model: 'byte-model',
      answers: {
        late: { type: 'noul', noul: close(2 / 3) },
        kind: { type: 'choice', choice: 'a', probabilities: { a: close(2 / 3), b: close(1 / 3) } },
        size: {
          type: 'score',
          score: close(1 / 3),
          legend: { 0: 'small', 1: 'large' },
          probabilities: { 0: close(2 / 3), 1: close(1 / 3) },
        },
      },
      usage: { output_tokens: 0 },
    });
    const [first] = engine.submitted;
    expect(first ? textOf(first.request) : '').toBe(
      '<user>{"order":7}\n\nIs it late?\n\nAnswer with the letters of one option only.\n' +
        'A: true (after Monday)\nB: false<assistant>',
    );
  });
});

describe('a decoder as a reranker', () => {
  it('scores by the share of yes, in the words of Qwen3-Reranker', async () => {
    const words = new Map([
      ['yes', 300],
      ['no', 301],
      ['<|im_start|>', 302],
    ]);
    const tokenId = (token: string) =>
      words.get(token) as ReturnType<typeof byteModel.tokenizer.tokenId>;
    const model = { ...byteModel, tokenizer: { ...byteModel.tokenizer, tokenId } };
    const engine = engineOf();
    const server = await startTestServer(engine, { model });
    const body = { query: 'moon?', documents: ['far'], instruction: 'Judge.' };
    const response = await server.post('/v1/rerank', body);
    const { results } = (await response.json()) as { results: { relevance_score: number }[] };
    // No comes first among the labels, and is twice as likely.
    expect(results[0]?.relevance_score).toBeCloseTo(1 / 3, 6);
    const [sent] = engine.submitted;
    expect(sent?.request.labels).toEqual([301, 300]);
    expect(sent ? textOf(sent.request) : '').toMatch(
      /<Instruct>: Judge\.\n<Query>: moon\?\n<Document>: far<\|im_end\|>\n<\|im_start\|>assistant\n<think>\n\n<\/think>\n\n$/,
    );
  });

  it('is refused for a model without its tokens', async () => {
    const { status, answer } = await ask('/v1/rerank', { query: 'a', documents: ['b'] });
    expect({ status, answer }).toMatchObject({
      status: 400,
      answer: { error: { code: 'task_unsupported' } },
    });
  });
});
