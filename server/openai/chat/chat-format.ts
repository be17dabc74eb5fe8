import type { ScoredToken } from '../../../engine/generation/held-tokens.js';
import type { TokenId } from '../../../scheduler/ids.js';
import { type AnswerFormat, type Choice, stopReasonOf } from '../answer.js';
import type { LogprobWriter } from '../logprobs.js';
import { MessageDeltas, type ToolCallStyle, wholeMessage } from './assistant-message.js';

export interface ChatFormatOptions {
  readonly shared: {
    readonly id: string;
    readonly created: number;
    readonly model: string;
    readonly system_fingerprint: string;
  };
  readonly n: number;
  readonly toolCalls: ToolCallStyle;
  /** Number of most likely tokens at each position; null for no log-probabilities. */
  readonly logprobs: number | null;
  readonly promptLogprobs: number | null;
  readonly promptTokenIds: readonly TokenId[];
  /** Tokens are shown as ids, too (vLLM's `return_token_ids`). */
  readonly showIds: boolean;
  readonly writer: LogprobWriter;
}

/** The wire format of chat completions. */
export function chatFormat(options: ChatFormatOptions): AnswerFormat {
  const { shared, n, toolCalls, logprobs, promptLogprobs, promptTokenIds, writer } = options;
  const promptIds = options.showIds ? { prompt_token_ids: promptTokenIds } : {};
  const idsOf = (tokenIds: readonly TokenId[]): object =>
    options.showIds ? { token_ids: tokenIds } : {};
  const deltas = Array.from({ length: n }, () => new MessageDeltas(toolCalls));
  const serialized = (tokens: readonly ScoredToken[]): object | null =>
    logprobs === null ? null : writer.chat(tokens, logprobs);
  const wholeChoice = (choice: Choice, index: number): object => {
    const { events, scored, tokenIds } = choice;
    const { message, finishReason } = wholeMessage(events, choice.finishReason, toolCalls);
    return {
      index,
      message,
      logprobs: serialized(scored),
      finish_reason: finishReason,
      stop_reason: stopReasonOf(choice),
      ...idsOf(tokenIds),
    };
  };
  return {
    head: { object: 'chat.completion.chunk', ...shared },
    openingHead: promptIds,
    opening: () =>
      Array.from({ length: n }, (_, index) =>
        chunk(index, { role: 'assistant', content: '' }, null, null),
      ),
    chunks: (output) => {
      const { index, events, scored, tokenIds, finishReason } = output;
      const parts = deltas[index].of(events);
      // Log-probabilities and ids do not wait for text.
      const isDue = scored.length > 0 || (options.showIds && tokenIds.length > 0);
      if (parts.length === 0 && isDue) parts.push({ content: '' });
      const chunks = parts.map((delta, i) =>
        i === 0
          ? chunk(index, delta, serialized(scored), null, idsOf(tokenIds))
          : chunk(index, delta, null, null),
      );
      if (finishReason === null) return chunks;
      const end = deltas[index].finishReason(finishReason);
      return [...chunks, chunk(index, {}, null, end, { stop_reason: stopReasonOf(output) })];
    },
    whole: (choices, usage) => ({
      object: 'chat.completion',
      ...shared,
      choices: choices.map(wholeChoice),
      usage,
      ...promptIds,
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
  more?: object,
): object[] => [{ index, delta, logprobs, finish_reason: finishReason, ...more }];
