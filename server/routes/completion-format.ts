import type { TokenLogprobs } from '../../engine/core/protocol.js';
import type { TokenId } from '../../scheduler/ids.js';
import { bestOf } from '../generation/best-of.js';
import type { ScoredToken } from '../generation/held-tokens.js';
import type { AnswerFormat, Choice } from '../generation/run.js';
import type { Tokenizer } from '../text/tokenizer.js';
import { type Echo, placeTokens } from './echo.js';
import type { LogprobWriter, PlacedToken } from './logprobs.js';

export interface CompletionFormatOptions {
  readonly head: object;
  /** One for each prompt. */
  readonly echoes: readonly Echo[];
  /** The tokens of each. */
  readonly prompts: readonly (readonly TokenId[])[];
  /** Choices of each prompt. */
  readonly n: number;
  /** Completions of which they are chosen. */
  readonly bestOf: number;
  /** Likeliest tokens at each place; null: no log-probabilities. */
  readonly logprobs: number | null;
  readonly promptLogprobs: number | null;
  readonly tokenizer: Tokenizer;
  readonly writer: LogprobWriter;
}

/** How plain completions word their answer. */
export function completionFormat(options: CompletionFormatOptions): AnswerFormat {
  const { head, echoes, prompts, n, logprobs, promptLogprobs, tokenizer, writer } = options;
  const echoed = new Set<number>();
  const words = (tokens: readonly PlacedToken[]): object | null =>
    logprobs === null ? null : writer.completion(tokens, logprobs);
  const promptTokens = (echo: Echo, scores: readonly TokenLogprobs[]): PlacedToken[] =>
    logprobs === null ? [] : placeTokens(echo, scores, tokenizer);
  const wholeChoice = (completion: Choice, index: number): object => {
    const { text, scored, finishReason } = completion;
    const prompt = Math.floor(index / n);
    const echo = echoes[prompt];
    const scores = completion.promptLogprobs ?? [];
    const tokens = [...promptTokens(echo, scores), ...shifted(scored, echo.characters)];
    return {
      ...choice(index, echo.text + text, words(tokens), finishReason),
      ...(promptLogprobs === null
        ? {}
        : { prompt_logprobs: writer.prompt(prompts[prompt], scores, promptLogprobs) }),
    };
  };
  return {
    head,
    opening: () => [],
    chunks: ({ index, text, scored, promptLogprobs: scores = [], finishReason }) => {
      const echo = echoes[Math.floor(index / n)];
      const chunks: object[][] = [];
      if (echo.text !== '' && !echoed.has(index)) {
        echoed.add(index);
        chunks.push([choice(index, echo.text, words(promptTokens(echo, scores)), null)]);
      }
      if (text !== '' || scored.length > 0 || finishReason !== null) {
        const tokens = shifted(scored, echo.characters);
        chunks.push([choice(index, text, words(tokens), finishReason)]);
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

const shifted = (tokens: readonly ScoredToken[], characters: number): ScoredToken[] =>
  tokens.map((token) => ({ ...token, offset: token.offset + characters }));
