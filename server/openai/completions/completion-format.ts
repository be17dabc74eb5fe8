import { byPrompt, promptOf } from '../../../engine/generation/choice-index.js';
import type { ScoredToken } from '../../../engine/generation/held-tokens.js';
import type { TokenLogprobs } from '../../../engine/protocol/outputs.js';
import type { Tokenizer } from '../../../engine/text/tokenizer.js';
import type { TokenId } from '../../../scheduler/ids.js';
import { type AnswerFormat, type Choice, stopReasonOf } from '../answer.js';
import type { LogprobWriter, PlacedToken } from '../logprobs.js';
import { type Echo, placeTokens } from './echo.js';

export interface CompletionFormatOptions {
  readonly head: object;
  /** One for each prompt. */
  readonly echoes: readonly Echo[];
  /** The tokens of each. */
  readonly prompts: readonly (readonly TokenId[])[];
  /** Choices of each prompt. */
  readonly n: number;
  /** Candidates of which they are chosen. */
  readonly bestOf: number;
  /** Number of most likely tokens at each position; null for no log-probabilities. */
  readonly logprobs: number | null;
  /** Of the output; more where a request names the tokens itself. */
  readonly shownLogprobs: number | null;
  readonly promptLogprobs: number | null;
  /** Tokens are shown as ids, too (vLLM's `return_token_ids`). */
  readonly showIds: boolean;
  readonly tokenizer: Tokenizer;
  readonly writer: LogprobWriter;
}

/** The wire format of plain completions. */
export function completionFormat(options: CompletionFormatOptions): AnswerFormat {
  const { head, echoes, prompts, n, logprobs, promptLogprobs, tokenizer, writer } = options;
  const shown = options.shownLogprobs ?? 0;
  const begun = new Set<number>();
  const idsOf = (tokenIds: readonly TokenId[]): object =>
    options.showIds ? { token_ids: tokenIds } : {};
  /** With the first chunk of a choice, or the whole of it. */
  const promptIdsOf = (index: number): object =>
    options.showIds ? { prompt_token_ids: prompts[promptOf(index, n)] } : {};
  const serialized = (tokens: readonly PlacedToken[]): object | null =>
    logprobs === null ? null : writer.completion(tokens, Math.max(shown, logprobs));
  const promptTokens = (echo: Echo, scores: readonly TokenLogprobs[]): PlacedToken[] =>
    logprobs === null ? [] : placeTokens(echo, likeliest(scores, logprobs), tokenizer);
  const wholeChoice = (completion: Choice, index: number): object => {
    const { text, scored, tokenIds, finishReason } = completion;
    const prompt = promptOf(index, n);
    const echo = echoes[prompt];
    const scores = completion.promptLogprobs ?? [];
    const tokens = [...promptTokens(echo, scores), ...shifted(scored, echo.characters)];
    return {
      ...choice(index, echo.text + text, serialized(tokens), finishReason),
      stop_reason: stopReasonOf(completion),
      ...idsOf(tokenIds),
      ...promptIdsOf(index),
      ...(promptLogprobs === null
        ? {}
        : { prompt_logprobs: writer.prompt(prompts[prompt], scores, promptLogprobs) }),
    };
  };
  return {
    head,
    opening: () => [],
    chunks: (output) => {
      const { index, text, scored, tokenIds, finishReason } = output;
      const echo = echoes[promptOf(index, n)];
      const isFirst = !begun.has(index);
      begun.add(index);
      const chunks: object[][] = [];
      const add = (part: object, ids: readonly TokenId[]): void => {
        const promptIds = isFirst && chunks.length === 0 ? promptIdsOf(index) : {};
        chunks.push([{ ...part, ...promptIds, ...idsOf(ids) }]);
      };
      if (isFirst && echo.text !== '') {
        const tokens = promptTokens(echo, output.promptLogprobs ?? []);
        add(choice(index, echo.text, serialized(tokens), null), []);
      }
      // Log-probabilities and ids do not wait for text.
      const isDue = text !== '' || scored.length > 0 || (options.showIds && tokenIds.length > 0);
      if (isDue || finishReason !== null) {
        const tokens = shifted(scored, echo.characters);
        const end = finishReason === null ? {} : { stop_reason: stopReasonOf(output) };
        add({ ...choice(index, text, serialized(tokens), finishReason), ...end }, tokenIds);
      }
      return chunks;
    },
    whole: (candidates, usage) => ({
      ...head,
      choices: bestOf(candidates, options.bestOf, n).map(wholeChoice),
      usage,
    }),
  };
}

const choice = (
  index: number,
  text: string,
  logprobs: object | null,
  finishReason: string | null,
): object => ({ index, text, logprobs, finish_reason: finishReason });

/** Of each token of a prompt, so many of the likeliest: more of them may be there. */
const likeliest = (scores: readonly TokenLogprobs[], count: number): TokenLogprobs[] =>
  scores.map(({ logprob, topIds, topLogprobs }) => ({
    logprob,
    topIds: topIds.slice(0, count),
    topLogprobs: topLogprobs.slice(0, count),
  }));

const shifted = (tokens: readonly ScoredToken[], characters: number): ScoredToken[] =>
  tokens.map((token) => ({ ...token, offset: token.offset + characters }));

/**
 * Of each prompt's candidates keeps the `n` with the highest log-probability per token, best first;
 * equal ones keep their order. Where there is nothing to choose, all of them do: choice `i` is then
 * the one of seed + `i`.
 */
export function bestOf(candidates: readonly Choice[], perPrompt: number, n: number): Choice[] {
  if (perPrompt === n) return [...candidates];
  return byPrompt(candidates, perPrompt).flatMap((of) =>
    of.sort((a, b) => score(b) - score(a)).slice(0, n),
  );
}

/** An empty completion says nothing that could be unlikely. */
function score({ logprobSum, tokens }: Choice): number {
  return tokens === 0 ? 0 : logprobSum / tokens;
}
