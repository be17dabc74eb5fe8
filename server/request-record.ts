import type { OctavoError } from '../engine/errors.js';
import type { FirstTokenTimes, PredictedTokens } from '../engine/protocol/outputs.js';
import type { Tokenizer } from '../engine/text/tokenizer.js';
import type { TokenId } from '../scheduler/ids.js';
import type { ApiKey } from './keys/api-key.js';

/**
 * What a request's log line and trace say about the work it caused; filled while it runs. Times are
 * in milliseconds.
 */
export interface GenerationRecord {
  id: string;
  model: string;
  stream: boolean;
  promptTokens: number;
  completionTokens: number;
  cachedTokens: number;
  reasoningTokens: number;
  /** Of the request's prediction; absent without one. */
  predicted?: PredictedTokens;
  /**
   * From the arrival at the engine to the first step, and from there to the first token: of the
   * completion that was first.
   */
  queueMs: number | null;
  prefillMs: number | null;
  /** From the arrival at the server to the first token, and to the last. */
  ttftMs: number | null;
  generatedMs: number | null;
  finishReason: string | null;
  /** What the model read; only with `--log-prompts`. */
  prompts?: readonly string[];
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Monotonic, milliseconds. */
    arrivedAt: number;
    generation: GenerationRecord | null;
    /** What ended it, if that was no success. */
    failure: OctavoError | null;
    /** The key that it was sent with; null where no key is asked for. */
    key: ApiKey | null;
    /** Sent by a batch, not by a client: it yields to those, and no limit of theirs is for it. */
    isBatch: boolean;
  }
}

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

export function notePredicted(record: GenerationRecord, step: PredictedTokens): void {
  const { accepted, rejected } = record.predicted ?? NOTHING_PREDICTED;
  record.predicted = {
    accepted: accepted + step.accepted,
    rejected: rejected + step.rejected,
  };
}

/** Before any of a prediction was computed. */
export const NOTHING_PREDICTED: PredictedTokens = { accepted: 0, rejected: 0 };

/**
 * Keeps the prompts for the log as the model reads them, including special tokens; only with
 * `--log-prompts`.
 */
export function notePrompts(
  tokenizer: Tokenizer,
  requests: readonly { readonly promptTokenIds: readonly TokenId[] }[],
  record: GenerationRecord,
): void {
  record.prompts = requests.map(({ promptTokenIds }) =>
    tokenizer.decode(promptTokenIds, { skipSpecialTokens: false }),
  );
}
