import { embeddedModelClient, type StreamingClient } from '../serve/client.js';
import { type LoadResult, newLoadState, runLoad } from '../serve/run-load.js';
import { Workload } from '../serve/workload.js';

export interface ConversationOptions {
  readonly count: number;
  /** Conversations at a time. */
  readonly concurrency: number;
  readonly turns: number;
  /** Words of each conversation's own system prompt. */
  readonly systemWords: number;
  /** Words of each question. */
  readonly questionWords: number;
  readonly answerTokens: number;
  /** Called when a request has output, as often as it has. */
  readonly onOutput?: () => void;
  /**
   * Called when a request failed before it had output, with the kind of the error. If so, it is
   * sent again, as OpenAI's clients do; absent: it stays failed.
   */
  readonly onRetry?: (error: string) => void;
}

const RETRY_MS = 250;
const MOST_ATTEMPTS = 120;

const now = (): number => performance.now();
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Conversations of random words with the model behind `url`, greedy: what is answered depends on
 * the conversation only, not on the replicas that computed it.
 */
export async function converse(url: string, options: ConversationOptions): Promise<LoadResult[]> {
  const { count, concurrency, turns, systemWords, questionWords, answerTokens } = options;
  const client = embeddedModelClient(url, 'chat', now);
  const workload = new Workload(
    {
      dataset: 'fixed',
      inputLength: questionWords,
      outputLength: answerTokens,
      lengthSpread: null,
      sharedPrefix: systemWords,
      prefixGroups: count,
      turns,
      promptFormat: 'text',
      vocabSize: 2048,
      seed: 1,
    },
    true,
  );
  const state = newLoadState();
  const { signal } = new AbortController();
  const arrivals = { kind: 'closed', concurrency } as const;
  const send: StreamingClient['send'] = async (prompt, maxTokens, ended, onOutput) => {
    for (let attempt = 1; ; attempt++) {
      const result = await client.send(prompt, maxTokens, ended, () => {
        onOutput();
        options.onOutput?.();
      });
      const hasBegun = result.error === null || result.firstTokenAt !== null;
      if (hasBegun || !options.onRetry || attempt === MOST_ATTEMPTS) return result;
      options.onRetry(result.error);
      await sleep(RETRY_MS);
    }
  };
  await runLoad({
    workload,
    client: { send },
    arrivals,
    count,
    seed: 1,
    signal,
    now,
    sleep,
    state,
  });
  await client.close();
  return state.results;
}

/** Share of the prompts' tokens that was cached, of complete answers. */
export function tokenHitRate(results: readonly LoadResult[]): number {
  const complete = results.filter(({ error }) => error === null);
  const sum = (value: (result: LoadResult) => number): number =>
    complete.reduce((total, result) => total + value(result), 0);
  return sum(({ cachedTokens }) => cachedTokens) / sum(({ promptTokens }) => promptTokens);
}

/** By conversation and turn: what complete answers say. */
export function textsOf(results: readonly LoadResult[]): Map<string, string> {
  const complete = results.filter(({ error }) => error === null);
  return new Map(complete.map(({ conversation, turn, text }) => [`${conversation}/${turn}`, text]));
}

/** Answers whose text is not the one of `expected`. */
export function differing(
  results: readonly LoadResult[],
  expected: ReadonlyMap<string, string>,
): string[] {
  return [...textsOf(results)]
    .filter(([key, text]) => expected.get(key) !== text)
    .map(([key]) => key);
}
