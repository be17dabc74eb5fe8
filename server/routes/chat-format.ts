import type { TokenId } from '../../scheduler/ids.js';
import type { ScoredToken } from '../generation/held-tokens.js';
import type { AnswerFormat } from '../generation/run.js';
import type { LogprobWriter } from './logprobs.js';

export interface ChatFormatOptions {
  readonly shared: { readonly id: string; readonly created: number; readonly model: string };
  readonly n: number;
  /** Likeliest tokens at each place; null: no log-probabilities. */
  readonly logprobs: number | null;
  readonly promptLogprobs: number | null;
  readonly promptTokenIds: readonly TokenId[];
  readonly writer: LogprobWriter;
}

/** How chat completions word their answer. */
export function chatFormat(options: ChatFormatOptions): AnswerFormat {
  const { shared, n, logprobs, promptLogprobs, promptTokenIds, writer } = options;
  const words = (tokens: readonly ScoredToken[]): object | null =>
    logprobs === null ? null : writer.chat(tokens, logprobs);
  return {
    head: { object: 'chat.completion.chunk', ...shared },
    opening: () =>
      Array.from({ length: n }, (_, index) =>
        chunk(index, { role: 'assistant', content: '' }, null, null),
      ),
    chunks: ({ index, text, scored, finishReason }) => [
      ...(text === '' && scored.length === 0
        ? []
        : [chunk(index, { content: text }, words(scored), null)]),
      ...(finishReason === null ? [] : [chunk(index, {}, null, finishReason)]),
    ],
    whole: (choices, usage) => ({
      object: 'chat.completion',
      ...shared,
      choices: choices.map(({ text, scored, finishReason }, index) => ({
        index,
        message: { role: 'assistant', content: text, refusal: null },
        logprobs: words(scored),
        finish_reason: finishReason,
      })),
      usage,
      ...(promptLogprobs === null
        ? {}
        : {
            prompt_logprobs: writer.prompt(
              promptTokenIds,
              choices[0].promptLogprobs ?? [],
              promptLogprobs,
            ),
          }),
    }),
  };
}

const chunk = (
  index: number,
  delta: object,
  logprobs: object | null,
  finishReason: string | null,
): object[] => [{ index, delta, logprobs, finish_reason: finishReason }];
