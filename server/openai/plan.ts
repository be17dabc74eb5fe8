import type { Static, TObject } from 'typebox';
import { OctavoError } from '../../engine/errors.js';
import { choiceIndex } from '../../engine/generation/choice-index.js';
import type { TextOptions, TextRequest } from '../../engine/generation/text-request.js';
import type { PromptImage } from '../../engine/protocol/prompt-image.js';
import { type EngineRequest, PLAIN_REQUEST } from '../../engine/protocol/request.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import type { ModelService } from '../models.js';
import { repetitionLimit } from './fields/repetition-detection.js';
import type { CommonSchema } from './fields/request-fields.js';
import { samplingParams } from './fields/sampling-fields.js';
import { refuseUnsupported } from './fields/unsupported-fields.js';

type CommonFields = Static<typeof CommonSchema>;

/**
 * @param schema the endpoint's own: what it knows is not refused as unsupported
 * @throws OctavoError `invalid_request` for fields that do not go together
 */
export function checkCommonFields(body: CommonFields, vocabSize: number, schema: TObject): void {
  if (body.stream_options && body.stream !== true) {
    throw new OctavoError('invalid_request', 'stream_options is allowed only with stream: true', {
      param: 'stream_options',
    });
  }
  if (body.stream === true && typeof body.prompt_logprobs === 'number') {
    throw new OctavoError('invalid_request', 'prompt_logprobs is not possible with stream: true', {
      param: 'prompt_logprobs',
    });
  }
  refuseUnsupported(body, schema);
  const alien = body.stop_token_ids?.find((id) => id >= vocabSize);
  if (alien !== undefined) {
    throw new OctavoError(
      'invalid_request',
      `stop_token_ids: ${alien} is not in the vocabulary of ${vocabSize} tokens`,
      { param: 'stop_token_ids' },
    );
  }
}

/** What the fields of one endpoint ask of the engine. */
export interface EngineFields
  extends Partial<
    Pick<
      EngineRequest,
      | 'logprobs'
      | 'logprobTokenIds'
      | 'promptLogprobs'
      | 'grammar'
      | 'client'
      | 'tenant'
      | 'route'
      | 'prediction'
      | 'beams'
      | 'thinking'
    > &
      Pick<TextOptions, 'message'>
  > {
  /** Sequences of each prompt; otherwise the field `n`. */
  readonly n?: number;
  /** The text goes on behind the prompt's; otherwise it is a text of its own. */
  readonly continuesPrompt?: boolean;
}

export interface PlannedPrompt {
  readonly tokenIds: readonly TokenId[];
  readonly maxTokens: number;
  /** That it has; absent: none. */
  readonly images?: readonly PromptImage[] | undefined;
}

/**
 * One engine request for each prompt.
 *
 * @param prompts `maxTokens` 0 wants the prompt's log-probabilities only
 * @throws OctavoError `invalid_request` for a bias on a token that is none, and for more tokens at
 *   least than at most
 */
export function planRequests(
  id: string,
  prompts: readonly PlannedPrompt[],
  body: CommonFields,
  { engine: { info }, model, adapter }: Pick<ModelService, 'engine' | 'model' | 'adapter'>,
  randomSeed: () => number,
  { n = body.n ?? 1, continuesPrompt = false, message = null, ...fields }: EngineFields = {},
): TextRequest[] {
  const sampling = samplingParams(body, {
    defaults: model.defaultSampling,
    vocabSize: info.vocabSize,
    tokenizer: model.tokenizer,
    randomSeed,
  });
  const stop = body.stop ?? [];
  const eos = body.ignore_eos === true ? [] : model.eosTokenIds;
  const minTokens = body.min_tokens ?? 0;
  const repetition = repetitionLimit(body.repetition_detection, minTokens);
  return prompts.map(({ tokenIds, maxTokens, images }, index) => {
    if (minTokens > maxTokens) {
      const problem = `min_tokens is ${minTokens}, but at most ${maxTokens} can be generated`;
      throw new OctavoError('invalid_request', problem, { param: 'min_tokens' });
    }
    const engine = {
      ids: Array.from(
        { length: n },
        (_, choice) => `${id}-${choiceIndex(index, choice, n)}` as SequenceId,
      ),
      promptTokenIds: tokenIds,
      ...(images && { images }),
      maxTokens,
      stopTokenIds: [...new Set([...eos, ...((body.stop_token_ids ?? []) as TokenId[])])],
      ...PLAIN_REQUEST,
      eosTokenIds: model.eosTokenIds,
      minTokens,
      ...(repetition && { repetition }),
      sampling,
      priority: body.priority ?? 0,
      adapter,
      cacheSalt: body.cache_salt ?? null,
      reuse: {
        key: body.prompt_cache_key ?? null,
        isRetained: body.prompt_cache_retention === '24h',
      },
      ...fields,
    };
    const text = {
      stop: typeof stop === 'string' ? [stop] : stop,
      namedStops: ((body.stop_token_ids ?? []) as TokenId[]).filter(
        (token) => !eos.includes(token),
      ),
      includeStop: body.include_stop_str_in_output === true,
      minTokens,
      skipSpecialTokens: body.skip_special_tokens !== false,
      prefixTokenIds: continuesPrompt ? tokenIds : [],
      opens: engine.grammar === null,
      promptOnly: maxTokens === 0,
      message,
    };
    return { engine, text };
  });
}
