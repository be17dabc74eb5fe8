import { randomInt, randomUUID } from 'node:crypto';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import { clip } from '../clip.js';
import { OctavoError } from '../errors.js';
import { outputBudget } from '../generation/output-budget.js';
import { PLAIN_TEXT, type TextRequest } from '../generation/text-request.js';
import type { Asker } from '../job-pool/job-pool.js';
import { PLAIN_REQUEST } from '../protocol/request.js';
import type { SamplingParams } from '../sampling/sampling-params.js';
import type { EngineParts } from './engine-parts.js';
import type { GenerateOptions } from './options.js';
import type { Prompt } from './prompts.js';

/** The client name of a program's requests, for fair use of the grammar threads. */
export const CLIENT = 'library';

/** Whose work is done for a program's request: it is given up when the signal is aborted. */
export const askerOf = ({ signal }: { readonly signal?: AbortSignal }): Asker => ({
  client: CLIENT,
  signal: signal ?? new AbortController().signal,
});

export const newId = (): SequenceId => randomUUID() as SequenceId;

/**
 * Converts a prompt's options to those of the engine and of its text.
 *
 * @throws OctavoError `context_length_exceeded`, `invalid_request`
 */
export function textRequest(
  { tokenIds, images, prediction, field, grammar, text }: Prompt,
  options: GenerateOptions & { readonly n?: number },
  { model, port }: Pick<EngineParts, 'model' | 'port'>,
): TextRequest {
  const { vocabSize, maxModelLength } = port.info;
  const { n = 1, minTokens = 0, stop = [], ignoreEos = false } = options;
  const stopTokenIds = (options.stopTokenIds ?? []) as readonly TokenId[];
  const maxTokens = outputBudget({
    promptTokens: tokenIds.length,
    asked: options.maxTokens ?? null,
    standard: model.defaultMaxTokens ?? maxModelLength,
    context: maxModelLength,
    param: field,
  });
  if (minTokens > maxTokens) {
    const message = `minTokens is ${minTokens}, but at most ${maxTokens} can be generated`;
    throw new OctavoError('invalid_request', message, { param: 'minTokens' });
  }
  assertTokens(stopTokenIds, vocabSize, 'stopTokenIds');
  const engine = {
    ids: Array.from({ length: n }, newId),
    promptTokenIds: tokenIds,
    ...(images && { images }),
    ...(prediction && { prediction }),
    maxTokens,
    stopTokenIds: [...new Set([...(ignoreEos ? [] : model.eosTokenIds), ...stopTokenIds])],
    ...PLAIN_REQUEST,
    minTokens,
    logprobs: options.logprobs ?? null,
    grammar,
    eosTokenIds: model.eosTokenIds,
    sampling: samplingParams(options, model.defaultSampling, vocabSize),
    adapter: adapterOf(options, port),
    priority: options.priority ?? 0,
    cacheSalt: options.cacheSalt ?? null,
    reuse: {
      key: options.promptCacheKey ?? null,
      isRetained: options.promptCacheRetention === '24h',
    },
    tenant: options.user ?? '',
    client: CLIENT,
  };
  return {
    engine,
    text: {
      ...PLAIN_TEXT,
      ...text,
      opens: grammar === null,
      stop: typeof stop === 'string' ? [stop] : stop,
      namedStops: stopTokenIds,
      minTokens,
    },
  };
}

/**
 * The adapter that a request names; null for the model alone.
 *
 * @throws OctavoError `invalid_request`: which adapters there are
 */
export function adapterOf(
  { adapter }: { readonly adapter?: string },
  { adapters }: Pick<EngineParts['port'], 'adapters'>,
): string | null {
  if (adapter === undefined) return null;
  const names = (adapters?.list ?? []).map(({ name }) => name);
  if (names.includes(adapter)) return adapter;
  const known = names.length > 0 ? `there are ${names.join(', ')}` : 'the engine has none';
  const message = `adapter: '${clip(adapter)}' is not loaded; ${known}`;
  throw new OctavoError('invalid_request', message, { param: 'adapter' });
}

function samplingParams(
  options: GenerateOptions,
  standard: EngineParts['model']['defaultSampling'],
  vocabSize: number,
): SamplingParams {
  const logitBias = Object.entries(options.logitBias ?? {}).map(([id, bias]): [TokenId, number] => [
    Number(id) as TokenId,
    bias,
  ]);
  const biased = logitBias.map(([id]) => id);
  assertTokens(biased, vocabSize, 'logitBias');
  return {
    logitBias,
    repetitionPenalty: options.repetitionPenalty ?? standard.repetitionPenalty,
    frequencyPenalty: options.frequencyPenalty ?? standard.frequencyPenalty,
    presencePenalty: options.presencePenalty ?? standard.presencePenalty,
    temperature: options.temperature ?? standard.temperature,
    topK: options.topK ?? standard.topK,
    minP: options.minP ?? standard.minP,
    typicalP: options.typicalP ?? standard.typicalP,
    topP: options.topP ?? standard.topP,
    seed: options.seed ?? randomInt(2 ** 32),
  };
}

function assertTokens(ids: readonly number[], vocabSize: number, param: string): void {
  const alien = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
  if (alien === undefined) return;
  const message = `${param}: ${alien} is not in the vocabulary of ${vocabSize} tokens`;
  throw new OctavoError('invalid_request', message, { param });
}
