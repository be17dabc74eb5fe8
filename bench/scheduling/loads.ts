import type { TokenId } from '../../scheduler/ids.js';
import { BLOCK_SIZE, type Trace } from '../eviction/trace.js';
import { LengthSampler, lengthsOf } from '../serve/lengths.js';
import { RandomStream } from '../serve/random-stream.js';
import type { SimulatedRequest } from '../simulation/simulate.js';

/** A request without its time. */
export type LoadRequest = Omit<SimulatedRequest, 'arrivalMs'>;

export interface Load {
  readonly name: string;
  readonly about: string;
  readonly requests: readonly LoadRequest[];
  readonly numBlocks: number;
}

/** What clients allow where they do not know how long an answer becomes. */
const MAX_TOKENS = 1024;
const NUM_REQUESTS = 500;
/** Of a trace of `bench:eviction`, whose prompts are long. */
const TRACE_REQUESTS = 200;
const NUM_BLOCKS = 1200;

/** Applications by what they ask for: system prompt, question and answer in tokens, and weight. */
const APPLICATIONS = [
  { name: 'classify', system: 200, question: 150, answer: 4, spread: 0.2, weight: 25 },
  { name: 'extract', system: 350, question: 400, answer: 60, spread: 0.4, weight: 20 },
  { name: 'title', system: 90, question: 120, answer: 10, spread: 0.3, weight: 15 },
  { name: 'chat', system: 250, question: 60, answer: 220, spread: 0.8, weight: 20 },
  { name: 'code', system: 500, question: 200, answer: 350, spread: 0.7, weight: 12 },
  { name: 'write', system: 150, question: 80, answer: 700, spread: 0.3, weight: 8 },
] as const;

/** Tokens that are the same for one name, and that no other name has. */
function tokensOf(name: number, count: number): TokenId[] {
  return Array.from({ length: count }, (_, i) => (name * 8192 + i) as TokenId);
}

const clamp = (length: number): number => Math.max(1, Math.min(MAX_TOKENS, Math.round(length)));

/** Applications whose answers differ in length; all ask for as much as may come. */
export function applications(seed: number): Load {
  const random = new RandomStream(seed, 'lengths', 1);
  const sum = APPLICATIONS.reduce((total, { weight }) => total + weight, 0);
  const requests = Array.from({ length: NUM_REQUESTS }, (_, i) => {
    let left = random.next() * sum;
    const found = APPLICATIONS.findIndex(({ weight }) => (left -= weight) < 0);
    const { name, system, question, answer, spread } = APPLICATIONS[found];
    const own = clamp(question * Math.exp(0.6 * random.normal()));
    return {
      promptTokenIds: [...tokensOf(found, system), ...tokensOf(100 + i, own)],
      outputTokens: clamp(answer * Math.exp(spread * random.normal())),
      maxTokens: MAX_TOKENS,
      more: { tenant: name, route: 'chat' },
    };
  });
  const about = `${APPLICATIONS.length} applications with system prompts of 90 to 500 tokens, answers of 4 to 700 tokens by application, max_tokens ${MAX_TOKENS} for all`;
  return { name: 'applications', about, requests, numBlocks: NUM_BLOCKS };
}

/** Lengths that nothing foretells. */
export function sharegpt(seed: number): Load {
  const { input, output } = lengthsOf({
    dataset: 'sharegpt',
    inputLength: null,
    outputLength: null,
    lengthSpread: null,
  });
  const [inputs, outputs] = [new LengthSampler(input), new LengthSampler(output)];
  const requests = Array.from({ length: NUM_REQUESTS }, (_, i) => {
    const random = new RandomStream(seed, 'lengths', i);
    return {
      promptTokenIds: tokensOf(100 + i, inputs.sample(random)),
      outputTokens: outputs.sample(random),
      maxTokens: MAX_TOKENS,
    };
  });
  return {
    name: 'sharegpt',
    about: 'lengths like those of ShareGPT, by which nothing is told apart',
    requests,
    numBlocks: NUM_BLOCKS,
  };
}

/** A trace of `bench:eviction`: equal blocks have equal tokens. */
export function fromTrace(trace: Trace, numBlocks: number): Load {
  const ids = new Map<string, number>();
  const requests = trace.requests.slice(0, TRACE_REQUESTS).map((request, index) => {
    const tokens = request.hashes.flatMap((hash) => {
      const id = ids.get(hash) ?? ids.size;
      ids.set(hash, id);
      return Array.from({ length: BLOCK_SIZE }, (_, i) => (id * BLOCK_SIZE + i) as TokenId);
    });
    // The last ones fill no block.
    while (tokens.length < request.tokens) tokens.push((2 ** 29 + index) as TokenId);
    const outputTokens = request.tokens - request.promptTokens + 1;
    return {
      promptTokenIds: tokens.slice(0, request.promptTokens),
      outputTokens,
      outputTokenIds: tokens.slice(request.promptTokens),
      maxTokens: Math.max(MAX_TOKENS, outputTokens),
      more: { tenant: request.key ?? '' },
    };
  });
  return { name: trace.name, about: trace.about, requests, numBlocks };
}

/** Gives requests random times of arrival (Poisson). */
export function arriving(
  requests: readonly LoadRequest[],
  perSecond: number,
  seed: number,
): SimulatedRequest[] {
  const random = new RandomStream(seed, 'arrivals', 0);
  const times: number[] = [];
  for (let time = 0; times.length < requests.length; times.push(time)) {
    time += (1000 / perSecond) * random.exponential();
  }
  return requests.map((request, i) => arrivingAt(request, times[i]));
}

/** All requests at once. */
export function together(requests: readonly LoadRequest[]): SimulatedRequest[] {
  return requests.map((request) => arrivingAt(request, 0));
}

function arrivingAt(request: LoadRequest, arrivalMs: number): SimulatedRequest {
  return { ...request, arrivalMs };
}
