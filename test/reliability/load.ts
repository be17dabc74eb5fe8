import type { RandomStream } from '../../bench/serve/random-stream.js';

/** One request of the mixed load, and where it goes. */
export interface LoadItem {
  readonly name: string;
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
}

const chat = (name: string, content: string, more: object = {}): LoadItem => ({
  name,
  path: '/v1/chat/completions',
  body: { messages: [{ role: 'user', content }], max_tokens: 60, seed: 11, ...more },
});

const completion = (name: string, prompt: string, more: object = {}): LoadItem => ({
  name,
  path: '/v1/completions',
  body: { prompt, max_tokens: 60, seed: 12, ...more },
});

const answer = (name: string, input: string, more: object = {}): LoadItem => ({
  name,
  path: '/v1/responses',
  body: { input, max_output_tokens: 60, temperature: 0, ...more },
});

const WEATHER = {
  name: 'get_weather',
  parameters: { type: 'object', properties: { city: { type: 'string' } } },
};

const LONG = 'The owl flew over the hill and saw the mill. '.repeat(90);
const SHARED = 'A happy wolf named Uma lived near the library. '.repeat(12);

/** Every kind of request; each is seeded, so that its answer is always the same. */
export const LOAD: readonly LoadItem[] = [
  chat('chat', 'What is the capital of France?', { temperature: 0 }),
  chat('a hot chat', 'Tell me a story about an owl.', { temperature: 1.2 }),
  chat('choices', 'Tell me a story.', { n: 3, temperature: 0.9 }),
  chat('tools', 'What is the weather in Rome?', {
    temperature: 0,
    tools: [{ type: 'function', function: WEATHER }],
  }),
  chat('JSON', 'Give me a JSON object with name Tom and age 7.', {
    temperature: 1,
    response_format: {
      type: 'json_schema',
      json_schema: {
        name: 'person',
        schema: {
          type: 'object',
          properties: { name: { type: 'string', maxLength: 12 }, age: { type: 'integer' } },
          required: ['name', 'age'],
          additionalProperties: false,
        },
      },
    },
  }),
  chat('log-probabilities', 'What colour is grass?', { logprobs: true, top_logprobs: 3 }),
  completion('completion', 'Once upon a time', { temperature: 0.8, ignore_eos: true }),
  completion('stop strings', 'Once upon a time', { stop: [' the', '. '], temperature: 0.7 }),
  completion('a long prompt', LONG, { temperature: 0 }),
  completion('a shared prefix, one', `${SHARED}Then`, { temperature: 0.6, ignore_eos: true }),
  completion('a shared prefix, two', `${SHARED}But`, { temperature: 0.6, ignore_eos: true }),
  completion('several prompts', 'x', { prompt: ['One day', 'At last'], temperature: 0.5 }),
  answer('a response', 'What is the capital of France?'),
  answer('a response with tools', 'What is the weather in Rome?', {
    tools: [{ type: 'function', ...WEATHER }],
  }),
  answer('a response that is cut', 'Tell me a story about an owl.', { max_output_tokens: 16 }),
  { name: 'embeddings', path: '/v1/embeddings', body: { input: ['an owl', SHARED] } },
];

const BAD: readonly LoadItem[] = [
  completion('a negative length', 'x', { max_tokens: -1 }),
  completion('an unknown model', 'x', { model: 'none' }),
  completion('too long', 'x', { max_tokens: 1_000_000 }),
  chat('no role', 'x', { messages: [{ role: '', content: 'x' }] }),
  answer('an unknown response', 'x', { previous_response_id: 'resp_none' }),
  chat('a schema that is none', 'x', { guided_json: { type: 'nothing' } }),
];

export type Misfortune = 'disconnect' | 'abort' | 'bad request' | 'slow reader';
const MISFORTUNES: readonly Misfortune[] = ['disconnect', 'abort', 'bad request', 'slow reader'];

/** What to send next: three of ten go wrong in one of four ways. */
export function draw(random: RandomStream): {
  readonly item: LoadItem;
  readonly misfortune: Misfortune | null;
  readonly stream: boolean;
} {
  const misfortune =
    random.integer(0, 10) < 3 ? MISFORTUNES[random.integer(0, MISFORTUNES.length)] : null;
  const items = misfortune === 'bad request' ? BAD : LOAD;
  const item = items[random.integer(0, items.length)];
  const canStream = item.path !== '/v1/embeddings';
  const mustStream = misfortune === 'disconnect' || misfortune === 'slow reader';
  return { item, misfortune, stream: canStream && (mustStream || random.integer(0, 2) === 1) };
}

interface AnswerPart {
  readonly index: number;
  readonly text?: string;
  readonly message?: MessagePart;
  readonly delta?: MessagePart;
  readonly finish_reason: string | null;
}

interface MessagePart {
  readonly content?: string | null;
  readonly tool_calls?: readonly {
    readonly function: { readonly name?: string; readonly arguments?: string };
  }[];
}

/** Of the endpoints that have choices, or vectors. */
interface Body {
  readonly choices?: readonly AnswerPart[];
  readonly data?: readonly { readonly embedding: readonly number[] }[];
}

/**
 * What an answer says, in one form for streams and whole answers: choices with all their text,
 * calls and reasons.
 */
export function contentOf({ path }: LoadItem, text: string, stream: boolean): string {
  if (path === '/v1/responses') return responseOf(text, stream);
  const bodies = stream ? eventsOf(text) : [JSON.parse(text) as Body];
  const choices = new Map<number, string>();
  for (const { choices: parts = [], data = [] } of bodies) {
    for (const part of parts) {
      const { content, tool_calls: calls = [] } = part.message ?? part.delta ?? {};
      const words = calls.map(({ function: f }) => `${f.name ?? ''}${f.arguments ?? ''}`).join('');
      const piece = `${part.text ?? ''}${content ?? ''}${words}`;
      const end = part.finish_reason === null ? '' : `|${part.finish_reason}`;
      choices.set(part.index, `${choices.get(part.index) ?? ''}${piece}${end}`);
    }
    // Sums of another order differ in the last digits.
    data.forEach(({ embedding }, i) =>
      choices.set(i, embedding.map((value) => Math.round(value * 50)).join(' ')),
    );
  }
  return JSON.stringify([...choices].sort(([a], [b]) => a - b));
}

function eventsOf(text: string): Body[] {
  const events = dataOf(text);
  if (events.pop() !== '[DONE]') throw new Error(`the stream broke off: ${text.slice(-200)}`);
  return events.map((event) => JSON.parse(event) as Body);
}

const dataOf = (text: string): string[] =>
  [...text.matchAll(/^data: (.*)$/gm)].map(([, data]) => data);

interface ResponseObject {
  readonly status: string;
  readonly output: readonly {
    readonly type: string;
    readonly content?: readonly { readonly text: string }[];
    readonly name?: string;
    readonly arguments?: string;
  }[];
}

interface ResponseEvent {
  readonly type: string;
  readonly delta?: string;
  readonly response?: ResponseObject;
}

/** A stream's pieces together must be what its last event says. */
function responseOf(text: string, stream: boolean): string {
  if (!stream) return summary(JSON.parse(text) as ResponseObject);
  const events = dataOf(text).map((data) => JSON.parse(data) as ResponseEvent);
  const { response } = events.at(-1) ?? {};
  if (!response) throw new Error(`the stream broke off: ${text.slice(-200)}`);
  const pieces = events.map(({ delta = '' }) => delta).join('');
  const whole = response.output.map(wordsOf).join('');
  if (pieces !== whole) throw new Error(`the pieces are ${pieces}, the whole is ${whole}`);
  return summary(response);
}

const wordsOf = ({
  content = [],
  arguments: words = '',
}: ResponseObject['output'][number]): string =>
  `${content.map((part) => part.text).join('')}${words}`;

const summary = ({ status, output }: ResponseObject): string =>
  JSON.stringify([status, ...output.map((item) => [item.type, item.name, wordsOf(item)])]);
