import type { Refusal } from '../../scheduler/limits.js';
import { OctavoError } from '../errors.js';
import type { EngineRequest } from '../protocol/request.js';
import { MAX_TOP_K } from '../sampling/sampler.js';
import { contextExceeded } from '../text/assert-may-fit.js';

// Checks of a request to the engine, whatever its source: token ids, numbers of log-probabilities,
// and the scheduler's limits of its length.

/**
 * @throws OctavoError `invalid_request` for a token id outside the vocabulary, and for more
 *   log-probabilities than the model returns; `task_unsupported` for what only encoders do
 */
export function checkRequest(request: EngineRequest, vocabSize: number): void {
  if (request.pooling === 'model' || request.secondFrom !== undefined) {
    const message =
      'the model is a decoder, which pools no rows and reads no pairs of texts by itself';
    throw new OctavoError('task_unsupported', message);
  }
  assertTokens('prompt', request.promptTokenIds, vocabSize);
  assertTokens('labels', request.labels ?? [], vocabSize);
  assertTokens('stop_token_ids', request.stopTokenIds, vocabSize);
  const biased = request.sampling.logitBias.map(([token]) => token);
  assertTokens('logit_bias', biased, vocabSize);
  assertTokens('allowed_token_ids', request.sampling.allowedTokenIds ?? [], vocabSize);
  assertTokens('logprob_token_ids', request.logprobTokenIds ?? [], vocabSize);
  if (request.beams) assertBeams(request.beams.width, request, vocabSize);
  for (const [param, count] of [
    ['logprobs', request.logprobs],
    ['prompt_logprobs', request.promptLogprobs],
  ] as const) {
    if ((count ?? 0) <= MAX_TOP_K) continue;
    const message = `${param}: at most ${MAX_TOP_K} of the most likely tokens, not ${count}`;
    throw new OctavoError('invalid_request', message, { param });
  }
}

/** Each beam offers so many tokens that enough are left when all stop tokens are among them. */
function assertBeams(
  width: number,
  { ids, stopTokenIds, maxTokens }: EngineRequest,
  vocabSize: number,
): void {
  const param = 'use_beam_search';
  if (maxTokens === 0) {
    const message = 'use_beam_search: at least one token must be asked for';
    throw new OctavoError('invalid_request', message, { param });
  }
  if (width < ids.length) {
    const message = `use_beam_search: ${ids.length} outputs of ${width} beams`;
    throw new OctavoError('invalid_request', message, { param });
  }
  const kinds = Math.max(2, 1 + new Set(stopTokenIds).size);
  const most = Math.floor(Math.min(MAX_TOP_K, vocabSize) / kinds);
  if (width <= most) return;
  const message = `use_beam_search: at most ${most} beams with ${kinds - 1} stop tokens, not ${width}`;
  throw new OctavoError('invalid_request', message, { param });
}

function assertTokens(param: string, ids: readonly number[], vocabSize: number): void {
  const foreign = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
  if (foreign === undefined) return;
  const range = `the vocabulary (0 to ${vocabSize - 1})`;
  const message = `${param}: token id ${foreign} is outside ${range}`;
  throw new OctavoError('invalid_request', message, { param });
}

const roomOf = (blocks: number, { beams }: EngineRequest): string =>
  beams ? `room for ${blocks} blocks of beams` : `${blocks} blocks`;

/** The error for a request that the scheduler refuses. */
export function refusalError(refusal: Refusal, request: EngineRequest): OctavoError {
  const { ids, maxTokens } = request;
  const promptTokens = request.promptTokenIds.length;
  switch (refusal.reason) {
    case 'empty-prompt': {
      const message = 'prompt: must hold at least one token';
      return new OctavoError('invalid_request', message, { param: 'prompt' });
    }
    case 'duplicate-id':
      return new OctavoError('internal', `a sequence id of ${ids.join(', ')} is in use`);
    case 'context':
      return contextExceeded({
        context: refusal.limit,
        promptTokens,
        wanted: maxTokens,
        param: 'prompt',
      });
    case 'pins':
      return new OctavoError(
        'pinned_prefixes_full',
        `Pinned prefixes may hold ${refusal.limit} blocks of the KV cache, and would hold ` +
          `${refusal.blocks} with this one (${promptTokens} tokens). Unpin others, or raise --kv-cache-memory`,
      );
    case 'beams': {
      const message =
        `${refusal.beams} beams run together, and the server runs at most ${refusal.limit} sequences ` +
        'at a time (--max-num-seqs)';
      return new OctavoError('invalid_request', message, { param: 'use_beam_search' });
    }
    case 'step': {
      const { tokens, limit } = refusal;
      const message = `messages: an image has ${tokens} tokens, which one step must hold; it holds ${limit} (raise --max-num-batched-tokens)`;
      return new OctavoError('invalid_request', message, { param: 'messages' });
    }
    case 'pool':
      return new OctavoError(
        'context_length_exceeded',
        `The KV cache has ${roomOf(refusal.limit, request)}. The request needs ${refusal.blocks} ` +
          `(${promptTokens} tokens in the prompt, ${maxTokens} in the completion).`,
      );
  }
}
