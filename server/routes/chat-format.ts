import type { TokenId } from '../../scheduler/ids.js';
import type { ScoredToken } from '../generation/held-tokens.js';
import type { AnswerFormat } from '../generation/run.js';
import { MessageDeltas, type ToolCallWords, wholeMessage } from './assistant-message.js';
import type { LogprobWriter } from './logprobs.js';

export interface ChatFormatOptions {
  readonly shared: { readonly id: string; readonly created: number; readonly model: string };
  readonly n: number;
  readonly toolCalls: ToolCallWords;
  /** Likeliest tokens at each place; null: no log-probabilities. */
  readonly logprobs: number | null;
  readonly promptLogprobs: number | null;
  readonly promptTokenIds: readonly TokenId[];
  readonly writer: LogprobWriter;
}

/** How chat completions word their answer. */
export function chatFormat(options: ChatFormatOptions): AnswerFormat {
  const { shared, n, toolCalls, logprobs, promptLogprobs, promptTokenIds, writer } = options;
  const deltas = Array.from({ length: n }, () => new MessageDeltas(toolCalls));
  const words = (tokens: readonly ScoredToken[]): object | null =>
    logprobs === null ? null : writer.chat(tokens, logprobs);
  return {
    head: { object: 'chat.completion.chunk', ...shared },
    opening: () =>
      Array.from({ length: n }, (_, index) =>
        chunk(index, { role: 'assistant', content: '' }, null, null),
      ),
    chunks: ({ index, events, scored, finishReason }) => {
      const parts = deltas[index].of(events);
      // Log-probabilities do not wait for text.
      if (parts.length === 0 && scored.length > 0) parts.push({ content: '' });
      const chunks = parts.map((delta, i) =>
        chunk(index, delta, i === 0 ? words(scored) : null, null),
      );
      if (finishReason === null) return chunks;
      return [...chunks, chunk(index, {}, null, deltas[index].finishReason(finishReason))];
    },
    whole: (choices, usage) => ({
      object: 'chat.completion',
      ...shared,
      choices: choices.map((choice, index) => {
        const { events, scored } = choice;
        const { message, finishReason } = wholeMessage(events, choice.finishReason, toolCalls);
        return { index, message, logprobs: words(scored), finish_reason: finishReason };
      }),
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
