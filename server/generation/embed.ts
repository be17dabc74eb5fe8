import type { SequenceOutput } from '../../engine/protocol/outputs.js';
import { PLAIN_REQUEST, type Pooling } from '../../engine/protocol/request.js';
import { GREEDY } from '../../engine/sampling/sampling-params.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import { toOctavoError } from '../http/errors.js';
import type { ModelService } from '../models.js';
import { type GenerationRecord, notePrompts, noteTimes } from '../request-record.js';
import type { RequestHost, Running } from './run-in-flight.js';

/** A prompt of which something is computed, and no token generated. */
export interface ReadPrompt {
  readonly promptTokenIds: readonly TokenId[];
  /** Its embedding; absent: none. */
  readonly pooling?: Pooling;
  /** See `EngineRequest`. */
  readonly secondFrom?: number;
  /** Tokens that are scored behind it; absent: none. */
  readonly labels?: readonly TokenId[];
}

export interface ReadOptions {
  readonly id: string;
  readonly prompts: readonly ReadPrompt[];
  readonly priority: number;
  readonly cacheSalt: string | null;
  /** Whose share of the engine they take. */
  readonly tenant: string;
  readonly arrivedAt: number;
  /** Filled while the prompts are computed. */
  readonly record: GenerationRecord;
}

export interface EmbedOptions extends Omit<ReadOptions, 'prompts'> {
  readonly prompts: readonly (readonly TokenId[])[];
  readonly pooling: Pooling;
}

/**
 * Computes prompts, all of them in the engine at once, for what the engine makes of them.
 *
 * @returns the output of each, in the prompts' order
 * @throws OctavoError what the engine throws, or the reason with which the controller was aborted
 */
export async function readPrompts(
  { clock, logPrompts }: RequestHost,
  { engine, metrics, model, adapter }: ModelService,
  options: ReadOptions,
  { controller, output }: Running,
): Promise<SequenceOutput[]> {
  const { record, arrivedAt } = options;
  if (logPrompts) notePrompts(model.tokenizer, options.prompts, record);
  record.promptTokens = options.prompts.reduce(
    (sum, { promptTokenIds }) => sum + promptTokenIds.length,
    0,
  );
  const submitted = options.prompts.map((prompt, index) => {
    const request = {
      ids: [`${options.id}-${index}` as SequenceId],
      maxTokens: 0,
      stopTokenIds: [],
      ...PLAIN_REQUEST,
      sampling: GREEDY,
      ...prompt,
      priority: options.priority,
      adapter,
      cacheSalt: options.cacheSalt,
      tenant: options.tenant,
    };
    return {
      promptTokenIds: prompt.promptTokenIds,
      outputs: engine.submit(request, controller.signal, output)[0],
    };
  });
  const read = async ({ promptTokenIds, outputs }: (typeof submitted)[number]) => {
    for await (const answer of outputs) {
      const { finishReason, cachedTokens, tierTokens, times } = answer;
      if (finishReason === 'abort') throw toOctavoError(controller.signal.reason);
      if (times) noteTimes(record, times);
      if (finishReason === null) continue;
      record.cachedTokens += cachedTokens;
      metrics.countEmbedding(arrivedAt, promptTokenIds.length, cachedTokens, tierTokens);
      return answer;
    }
    throw new Error('the engine gave no answer');
  };
  const outputs = await Promise.all(submitted.map(read));
  record.finishReason = 'stop';
  record.generatedMs = clock.now() - arrivedAt;
  return outputs;
}

/**
 * Computes the embeddings of some prompts.
 *
 * @returns `[hiddenSize]` each, not normalized, in the prompts' order
 * @throws OctavoError as `readPrompts`
 */
export async function embed(
  host: RequestHost,
  service: ModelService,
  { prompts, pooling, ...options }: EmbedOptions,
  running: Running,
): Promise<Float32Array[]> {
  const asked = prompts.map((promptTokenIds) => ({ promptTokenIds, pooling }));
  const outputs = await readPrompts(host, service, { ...options, prompts: asked }, running);
  return outputs.map(({ embedding }) => {
    if (embedding === undefined) throw new Error('the engine gave no embedding');
    return embedding;
  });
}
