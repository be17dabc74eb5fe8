import type { FirstTokenTimes } from '../../engine/protocol/outputs.js';
import type { TokenId } from '../../scheduler/ids.js';
import type { AppContext, GenerationRecord } from '../app-context.js';

export function newRecord(id: string, model: string): GenerationRecord {
  return {
    id,
    model,
    stream: false,
    promptTokens: 0,
    completionTokens: 0,
    cachedTokens: 0,
    reasoningTokens: 0,
    queueMs: null,
    prefillMs: null,
    ttftMs: null,
    generatedMs: null,
    finishReason: null,
  };
}

/** The times of the first sequence are used for the request. */
export function noteTimes(record: GenerationRecord, times: FirstTokenTimes): void {
  record.queueMs ??= times.queued;
  record.prefillMs ??= times.prefill;
}

/**
 * Keeps the prompts for the log as the model reads them, including special tokens; only with
 * `--log-prompts`.
 */
export function notePrompts(
  { settings, model }: Pick<AppContext, 'settings' | 'model'>,
  requests: readonly { readonly promptTokenIds: readonly TokenId[] }[],
  record: GenerationRecord,
): void {
  if (!settings.logPrompts) return;
  record.prompts = requests.map(({ promptTokenIds }) =>
    model.tokenizer.decode(promptTokenIds, { skipSpecialTokens: false }),
  );
}
