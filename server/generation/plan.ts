import type { Static } from 'typebox';
import { PLAIN_REQUEST } from '../../engine/core/protocol.js';
import { OctavoError } from '../../engine/errors.js';
import { GREEDY } from '../../engine/sampling/sampling-params.js';
import type { RequestId, TokenId } from '../../scheduler/ids.js';
import type { AppContext } from '../app-context.js';
import type { CommonSchema } from '../routes/request-fields.js';
import { refuseUnsupported } from '../routes/unsupported-fields.js';
import { clip } from '../text/clip.js';
import type { TextRequest } from './generate-text.js';
import { grammarOf } from './structured-output.js';

type CommonFields = Static<typeof CommonSchema>;

/** @throws OctavoError `model_not_found`, or `invalid_request` for fields that do not go together */
export function checkCommonFields(body: CommonFields, context: AppContext): void {
  const { model } = body;
  if (model !== undefined && model !== null && !context.model.names.includes(model)) {
    throw new OctavoError('model_not_found', `the model '${clip(model)}' does not exist`, {
      param: 'model',
    });
  }
  if (body.stream_options && body.stream !== true) {
    throw new OctavoError('invalid_request', 'stream_options is allowed only with stream: true', {
      param: 'stream_options',
    });
  }
  refuseUnsupported(body);
  const { vocabSize } = context.engine.info;
  const alien = body.stop_token_ids?.find((id) => id >= vocabSize);
  if (alien !== undefined) {
    throw new OctavoError(
      'invalid_request',
      `stop_token_ids: ${alien} is not in the vocabulary of ${vocabSize} tokens`,
      { param: 'stop_token_ids' },
    );
  }
}

/**
 * How many tokens may be generated.
 *
 * @param asked what the client wants, if it says so: that must fit. `standard` is only cut to what is left
 * @throws OctavoError `context_length_exceeded` with both numbers; `invalid_request` for an empty prompt
 */
export function outputBudget(options: {
  readonly promptTokens: number;
  readonly asked: number | null;
  readonly standard: number;
  readonly context: number;
  readonly param: 'messages' | 'prompt';
}): number {
  const { promptTokens, asked, context, param } = options;
  if (promptTokens === 0) {
    throw new OctavoError('invalid_request', `${param} is empty: it gives no token`, { param });
  }
  const left = context - promptTokens;
  if (left < 1 || (asked !== null && asked > left)) {
    const wanted = asked ?? 1;
    throw new OctavoError(
      'context_length_exceeded',
      `the model's context is ${context} tokens, and ${promptTokens + wanted} were requested ` +
        `(${promptTokens} in ${param}, ${wanted} for the completion)`,
      { param },
    );
  }
  return asked ?? Math.min(options.standard, left);
}

/** One engine request for each prompt, with `n` completions. */
export function planRequests(
  id: string,
  prompts: readonly { readonly tokenIds: readonly TokenId[]; readonly maxTokens: number }[],
  body: CommonFields,
  context: AppContext,
): TextRequest[] {
  const { model, randomSeed } = context;
  const seed = body.seed ?? randomSeed();
  const stop = body.stop ?? [];
  const eos = body.ignore_eos === true ? [] : model.eosTokenIds;
  const n = body.n ?? 1;
  const grammar = grammarOf(body);
  return prompts.map(({ tokenIds, maxTokens }, index) => ({
    ids: Array.from({ length: n }, (_, choice) => `${id}-${index * n + choice}` as RequestId),
    promptTokenIds: tokenIds,
    maxTokens,
    stopTokenIds: [...new Set([...eos, ...((body.stop_token_ids ?? []) as TokenId[])])],
    ...PLAIN_REQUEST,
    grammar,
    eosTokenIds: model.eosTokenIds,
    sampling: {
      ...GREEDY,
      temperature: body.temperature ?? model.defaultTemperature,
      topP: body.top_p ?? model.defaultTopP,
      seed: Number(BigInt.asUintN(32, BigInt(seed))),
    },
    priority: body.priority ?? 0,
    cacheSalt: body.cache_salt ?? null,
    stop: typeof stop === 'string' ? [stop] : stop,
    includeStop: body.include_stop_str_in_output === true,
  }));
}
