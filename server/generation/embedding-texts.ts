import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import type { Asker } from '../../engine/job-pool/job-pool.js';
import type { Pooling } from '../../engine/protocol/request.js';
import { contextExceeded } from '../../engine/text/assert-may-fit.js';
import { cutTokens } from '../../engine/text/cut-tokens.js';
import {
  type EmbeddingPrompts,
  type InputType,
  promptFor,
} from '../../engine/text/embedding-prompts.js';
import type { TokenId } from '../../scheduler/ids.js';
import type { ModelService } from '../models.js';
import { encodePrompts } from '../openai/fields/prompt-input.js';

/** Texts to embed, or their tokens. */
export type EmbeddingInput = string | readonly string[] | readonly number[] | number[][];

export interface TextOptions {
  /** Request field of the texts, for errors. */
  readonly param: string;
  readonly addSpecialTokens: boolean;
  /** Put before each text. */
  readonly prompt: string;
  /** Tokens to which longer texts are cut; null: they are refused. */
  readonly cutTo: number | null;
}

/** @throws OctavoError `task_unsupported` for a model that has no vectors */
export function assertEmbeds({ engine, name }: ModelService): void {
  if (engine.info.encoder?.task !== 'score') return;
  const message = `the model '${name}' scores pairs of texts: it serves /v1/rerank and /v1/score, not embeddings`;
  throw new OctavoError('task_unsupported', message, { param: 'model' });
}

/** How the model's rows become a vector; an encoder knows it by itself. */
export function poolingOf({
  engine,
  settings,
}: Pick<ModelService, 'engine' | 'settings'>): Pooling {
  if (engine.info.encoder) return 'model';
  return settings.pooling === 'mean' ? 'mean' : 'last';
}

/**
 * The prompt that a request asks for, by a name that the model has for it or by what its texts are
 * for; else the model's standard one.
 *
 * @throws OctavoError `invalid_request` for a name that the model does not have, and for both at
 *   once
 */
export function promptOf(
  { embeddingPrompts }: ModelService['model'],
  name: string | null,
  type: InputType | null,
): string {
  const prompts: EmbeddingPrompts = embeddingPrompts ?? { byName: new Map(), standard: '' };
  if (name === null) return type === null ? prompts.standard : promptFor(type, prompts);
  const param = 'prompt_name';
  if (type !== null) {
    const message = 'prompt_name must not be given with input_type';
    throw new OctavoError('invalid_request', message, { param });
  }
  const prompt = prompts.byName.get(name);
  if (prompt !== undefined) return prompt;
  const names = [...prompts.byName.keys()];
  const there = names.length === 0 ? 'the model has none' : `the model has ${names.join(', ')}`;
  throw new OctavoError('invalid_request', `prompt_name: no prompt ${clip(name)}; ${there}`, {
    param,
  });
}

/**
 * The tokens of texts to embed.
 *
 * @throws OctavoError `invalid_request` for an empty text, and for a prompt before tokens;
 *   `context_length_exceeded`; what `encodePrompts` throws
 */
export async function embeddingTokens(
  input: EmbeddingInput,
  service: ModelService,
  { param, addSpecialTokens, prompt, cutTo }: TextOptions,
  asker: Asker,
): Promise<(readonly TokenId[])[]> {
  const { maxModelLength } = service.engine.info;
  const { frame } = service.model.tokenizer;
  const isBatch = typeof input !== 'string' && typeof input[0] !== 'number';
  const nameOf = (index: number): string => (isBatch ? `${param}[${index}]` : param);
  // Special tokens alone do not make a text.
  const texts = typeof input === 'string' ? [input] : input;
  for (const [index, text] of texts.entries()) {
    if (text !== '' && !(Array.isArray(text) && text.length === 0)) continue;
    throw new OctavoError('invalid_request', `${nameOf(index)} is empty`, { param: nameOf(index) });
  }
  const long = cutTo === null ? null : longestText(cutTo, service);
  const prompted = prompt === '' && long === null ? input : withPrompt(input, prompt, long, param);
  const encoding = { param, addSpecialTokens };
  const all = await encodePrompts(prompted as string[], service, encoding, asker);
  return all.map((tokens, index) => {
    if (cutTo !== null) return cutTokens(tokens, cutTo, addSpecialTokens ? frame : undefined);
    if (tokens.length <= maxModelLength) return tokens;
    const promptTokens = tokens.length;
    const at = nameOf(index);
    throw contextExceeded({ context: maxModelLength, promptTokens, wanted: null, param: at });
  });
}

/** UTF-16 units that a normalizer may make one of. */
const SHRINKS_AT_MOST = 4;

/** What is surely behind the cut need not be made tokens of. */
const longestText = (cutTo: number, { model }: ModelService): number =>
  cutTo * model.tokenizer.longestToken * SHRINKS_AT_MOST;

function withPrompt(
  input: EmbeddingInput,
  prompt: string,
  longest: number | null,
  param: string,
): EmbeddingInput {
  const prepare = (text: string): string => prompt + text.slice(0, longest ?? text.length);
  if (typeof input === 'string') return prepare(input);
  if (input.every((text) => typeof text === 'string')) return input.map(prepare);
  if (prompt === '') return input;
  const message = `${param}: token ids take no prompt before them; send texts, or prompt_name of an empty prompt`;
  throw new OctavoError('invalid_request', message, { param });
}
