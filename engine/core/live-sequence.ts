import type { SequenceId } from '../../scheduler/ids.js';
import type { AppliedUpdate } from '../../scheduler/step-plan.js';
import type { Decision, FoundOutput, SampledSequence } from '../decoding/decoder.js';
import type { PromptRows } from '../decoding/prompt-rows.js';
import type { AdapterRef } from '../protocol/options.js';
import type { FirstTokenTimes, SequenceOutput, TokenLogprobs } from '../protocol/outputs.js';
import type { PromptImage } from '../protocol/prompt-image.js';

/** The engine core's record of a live sequence. */
export interface LiveSequence extends SampledSequence {
  /** Shared by the sequences of a request; null when nothing of the prompt's rows is asked for. */
  readonly promptRows: PromptRows | null;
  /** Shared, too. */
  readonly times: RequestTimes;
  /** The adapter that computes it; null for the model alone. */
  readonly adapter: AdapterRef | null;
  /** That its prompt has; held in the `ImageStore` once for each sequence. */
  readonly images: readonly PromptImage[];
  /** Whether it is one of the texts that a search follows, and no output. */
  readonly isBeam: boolean;
  /** Whether its first output has been returned. */
  hasBegun: boolean;
}

/** The record of a sequence that continues another one with tokens of its own. */
export const forkOf = (parent: LiveSequence): LiveSequence => ({
  ...parent,
  sampler: parent.sampler.fork(),
});

/** When a request arrived and began to run, on the engine's clock. Shared by its sequences. */
export class RequestTimes {
  readonly #arrivedAt: number;
  #begunAt: number | null = null;

  constructor(arrivedAt: number) {
    this.#arrivedAt = arrivedAt;
  }

  /**
   * Called at the beginning of each of its steps; only the first call counts, even after a
   * preemption.
   */
  begin(now: number): void {
    this.#begunAt ??= now;
  }

  get hasBegun(): boolean {
    return this.#begunAt !== null;
  }

  /** Of a sequence's first token. */
  firstToken(now: number): FirstTokenTimes {
    const begunAt = this.#begunAt ?? now;
    return { queued: begunAt - this.#arrivedAt, prefill: now - begunAt };
  }
}

/**
 * Adds to an update what the scheduler knows nothing of: log-probabilities, and with a sequence's
 * first output the results of the prompt and the time that it took.
 */
export function sequenceOutput(
  update: AppliedUpdate,
  live: LiveSequence,
  now: number,
  decision: Decision,
): SequenceOutput {
  const isFirst = !live.hasBegun;
  live.hasBegun = true;
  const logprobs = decision.logprobs.get(update.id);
  const predicted = decision.predicted?.get(update.id);
  if (!logprobs && !predicted && !isFirst) return update;
  const prompt = isFirst ? live.promptRows?.results : undefined;
  // A request for what is made of the prompt ends normally, not by its length.
  const isWhole = prompt?.embedding !== undefined || prompt?.labelLogprobs !== undefined;
  const pooled = isWhole && ({ finishReason: 'stop' } as const);
  return {
    ...update,
    ...(logprobs && { logprobs: logprobs.slice(0, update.tokenIds.length) }),
    ...(predicted && { predicted }),
    ...prompt,
    ...pooled,
    ...(isFirst && { times: live.times.firstToken(now) }),
  };
}

/**
 * The only output of a sequence that a search has found.
 *
 * @param cached what the search's prompt had in the prefix cache
 * @param beam one of the search's sequences
 */
export function foundOutput(
  { id, tokenIds, finishReason, logprobs }: FoundOutput,
  cached: Pick<AppliedUpdate, 'cachedTokens' | 'tierTokens'>,
  beam: LiveSequence,
  now: number,
): SequenceOutput {
  const stopToken = finishReason === 'stop' && { stopToken: tokenIds[tokenIds.length - 1] };
  const update = { id, tokenIds, finishReason, ...cached, ...stopToken };
  const scored = new Map<SequenceId, TokenLogprobs[]>();
  const count = beam.numLogprobs;
  if (count !== null) {
    const cut = logprobs.map(({ logprob, topIds, topLogprobs }) => {
      return { logprob, topIds: topIds.slice(0, count), topLogprobs: topLogprobs.slice(0, count) };
    });
    scored.set(id, cut);
  }
  const decision = { updates: [], logprobs: scored };
  return sequenceOutput(update, { ...beam, hasBegun: false }, now, decision);
}
