import { uniform } from '../../engine/sampling/random.js';
import type { Load, LoadOutcome, Turn } from './protocol.js';

/** A load's recipe. Prompts are new in each round, so that no cache has them. */
export interface LoadRecipe {
  readonly name: string;
  /** Measured in every round; the others once. */
  readonly core: boolean;
  readonly concurrency: number;
  readonly conversations: number;
  /** Tokens that all prompts begin with. */
  readonly prefix: number;
  /** Whether one client has sent the prefix, and got its answer, before all others come. */
  readonly isCached?: boolean;
  /** New tokens of each turn's prompt. */
  readonly prompts: readonly number[];
  readonly maxTokens: number;
  /**
   * Numbers of sequences that are tried in the first round; the best is kept. Default: one for each
   * client.
   */
  readonly sequences?: readonly number[];
  readonly metrics: readonly Metric[];
}

/** What is compared; all but `ttft` are rates, where more is better. */
export type Metric = 'decode' | 'prefill' | 'ttft';

const plain = (concurrency: number, prompt: number): LoadRecipe => ({
  name: `${concurrency} x ${prompt}`,
  core: prompt === 512 || prompt === 2048,
  concurrency,
  // One client is quick, and noisy.
  conversations: concurrency === 1 ? 4 : concurrency,
  prefix: 0,
  prompts: [prompt],
  // Long prompts take many steps; all requests must still decode when the last prompt is done.
  maxTokens: concurrency > 8 ? 128 : 64,
  metrics: concurrency === 1 ? ['decode', 'prefill'] : ['decode', 'ttft'],
});

/**
 * Runs before anything is measured, the same for all: it compiles code, and touches memory and
 * files for the first time.
 */
export const WARM_UP: LoadRecipe = { ...plain(1, 512), name: 'warm-up', conversations: 2 };

const SHARED: LoadRecipe = {
  name: '32 clients, shared prefix of 1,024',
  core: true,
  concurrency: 32,
  conversations: 32,
  prefix: 1024,
  prompts: [32],
  maxTokens: 16,
  sequences: [1, 4],
  metrics: ['ttft'],
};

export const LOADS: readonly LoadRecipe[] = [
  ...[1, 8, 32].map((concurrency) => plain(concurrency, 512)),
  { ...plain(1, 2048), conversations: 2, metrics: ['prefill'] },
  SHARED,
  { ...SHARED, name: `${SHARED.name}, cached`, isCached: true, sequences: [1] },
  {
    name: '8 conversations of 4 turns',
    core: true,
    concurrency: 8,
    conversations: 8,
    prefix: 0,
    prompts: [256, 32, 32, 32],
    maxTokens: 32,
    metrics: ['ttft'],
  },
  ...[1, 8, 32].flatMap((concurrency) => [plain(concurrency, 128), plain(concurrency, 1024)]),
];

/**
 * The same with fewer clients and tokens, to see that everything runs. Its figures mean nothing.
 */
export function quickly(recipe: LoadRecipe): LoadRecipe {
  const few = (value: number): number => Math.min(value, 4);
  return {
    ...recipe,
    concurrency: few(recipe.concurrency),
    conversations: few(recipe.conversations),
    prefix: recipe.prefix / 8,
    prompts: recipe.prompts.map((length) => length / 8),
    // Enough for all to decode together, also beside other work.
    maxTokens: 128,
  };
}

export function makeLoad(recipe: LoadRecipe, vocab: number, seed: number, sequences: number): Load {
  let counter = 0;
  const ids = (length: number): number[] =>
    Array.from({ length }, () => 256 + Math.floor(uniform(seed, counter++) * (vocab - 256)));
  const prefix = ids(recipe.prefix);
  const conversations = Array.from({ length: recipe.conversations }, () => {
    const history = [...prefix];
    return recipe.prompts.map((length): Turn => {
      history.push(...ids(length));
      const prompt = [...history];
      // The client edits the answers in the same way for all peers, so that no cache has their
      // tokens, not even that of the peer that generated them.
      history.push(...ids(recipe.maxTokens));
      return { prompt, maxTokens: recipe.maxTokens };
    });
  });
  return { name: recipe.name, concurrency: recipe.concurrency, conversations, sequences };
}

/** The value of a metric; null: there is none, because the requests never decoded all at once. */
export function valueOf(metric: Metric, load: Load, outcome: LoadOutcome): number | null {
  switch (metric) {
    case 'decode':
      return outcome.serial ? serialDecodeRate(outcome) : commonDecodeRate(load, outcome);
    case 'prefill':
      return median(
        outcome.turns.map(({ conversation, turn, dueMs, outputMs }) => {
          const { prompt } = load.conversations[conversation][turn];
          return (1000 * prompt.length) / (outputMs[0] - dueMs);
        }),
      );
    case 'ttft': {
      // Of a conversation, the turns that have a past.
      const turns = outcome.turns.some(({ turn }) => turn > 0)
        ? outcome.turns.filter(({ turn }) => turn > 0)
        : outcome.turns;
      return median(turns.map(({ outputMs, dueMs }) => outputMs[0] - dueMs));
    }
  }
}

/**
 * Tokens a second while all concurrent requests decode: between the last first token and the first
 * end. Prompts are outside of it. Null where some requests ended before others began to decode.
 */
function commonDecodeRate({ concurrency }: Load, { turns }: LoadOutcome): number | null {
  if (concurrency === 1) return serialDecodeRate({ turns, serial: true });
  const from = Math.max(...turns.map(({ outputMs }) => outputMs[0]));
  const to = Math.min(...turns.map(({ outputMs }) => outputMs.at(-1) ?? 0));
  const inside = turns.map(({ outputMs }) => outputMs.filter((at) => at > from && at <= to).length);
  if (Math.min(...inside) < 4) return null;
  // An output is a token, or seldom two: then each counts for its share.
  const tokens = inside.map((outputs, i) => (outputs * turns[i].tokens) / turns[i].outputMs.length);
  return (1000 * tokens.reduce((sum, count) => sum + count, 0)) / (to - from);
}

function serialDecodeRate({ turns }: LoadOutcome): number {
  const sum = (pick: (turn: LoadOutcome['turns'][number]) => number): number =>
    turns.reduce((total, turn) => total + pick(turn), 0);
  const ms = sum(({ outputMs }) => (outputMs.at(-1) ?? 0) - outputMs[0]);
  return (1000 * sum(({ tokens }) => tokens - 1)) / ms;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return (sorted[Math.ceil(middle) - 1] + sorted[Math.floor(middle)]) / 2;
}
