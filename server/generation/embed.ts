import { PLAIN_REQUEST, type Pooling } from '../../engine/protocol/request.js';
import { GREEDY } from '../../engine/sampling/sampling-params.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import { toOctavoError } from '../http/errors.js';
import type { ModelService } from '../models.js';
import { type GenerationRecord, notePrompts, noteTimes } from '../request-record.js';
import type { RequestHost, Running } from './run-in-flight.js';

export interface EmbedOptions {
  readonly id: string;
  readonly prompts: readonly (readonly TokenId[])[];
  readonly pooling: Pooling;
  readonly priority: number;
  readonly cacheSalt: string | null;
  /** Whose share of the engine they take. */
  readonly tenant: string;
  readonly arrivedAt: number;
  /** Filled while the prompts are computed. */
  readonly record: GenerationRecord;
}

/**
 * Computes the embeddings of some prompts, all of them in the engine at once.
 *
 * @returns `[hiddenSize]` each, not normalized, in the prompts' order
 * @throws OctavoError what the engine throws, or the reason with which the controller was aborted
 */
export async function embed(
  { clock, logPrompts }: RequestHost,
  { engine, metrics, model, adapter }: ModelService,
  options: EmbedOptions,
  { controller, output }: Running,
): Promise<Float32Array[]> {
  const { record, arrivedAt } = options;
  if (logPrompts) {
    const prompts = options.prompts.map((promptTokenIds) => ({ promptTokenIds }));
    notePrompts(model.tokenizer, prompts, record);
  }
  record.promptTokens = options.prompts.reduce((sum, { length }) => sum + length, 0);
  const submitted = options.prompts.map((promptTokenIds, index) => {
    const request = {
      ids: [`${options.id}-${index}` as SequenceId],
      promptTokenIds,
      maxTokens: 0,
      stopTokenIds: [],
      ...PLAIN_REQUEST,
      sampling: GREEDY,
      pooling: options.pooling,
      priority: options.priority,
      adapter,
      cacheSalt: options.cacheSalt,
      tenant: options.tenant,
    };
    return {
      promptTokenIds,
      outputs: engine.submit(request, controller.signal, output)[0],
    };
  });
  const read = async ({ promptTokenIds, outputs }: (typeof submitted)[number]) => {
    for await (const answer of outputs) {
      const { embedding, finishReason, cachedTokens, tierTokens, times } = answer;
      if (finishReason === 'abort') throw toOctavoError(controller.signal.reason);
      if (times) noteTimes(record, times);
      if (!embedding) continue;
      record.cachedTokens += cachedTokens;
      metrics.countEmbedding(arrivedAt, promptTokenIds.length, cachedTokens, tierTokens);
      return embedding;
    }
    throw new Error('the engine gave no embedding');
  };
  const embeddings = await Promise.all(submitted.map(read));
  record.finishReason = 'stop';
  record.generatedMs = clock.now() - arrivedAt;
  return embeddings;
}
