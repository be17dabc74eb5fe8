import { type Static, type TString, Type } from 'typebox';
import { OctavoError } from '../../../engine/errors.js';
import type { Asker } from '../../../engine/job-pool/job-pool.js';
import { assertMayFit } from '../../../engine/text/assert-may-fit.js';
import { NO_SPANS } from '../../../engine/text/spans.js';
import type { TokenId } from '../../../scheduler/ids.js';
import { Turns } from '../../http/turns.js';
import type { ModelService } from '../../models.js';
import { Nullable } from './request-fields.js';

const TokenIds = Type.Array(Type.Integer({ minimum: 0 }), { minItems: 1 });

/** One prompt or a batch of them, as text or as token ids. */
const promptsOf = (text: TString) =>
  Type.Union([
    text,
    Type.Array(text, { minItems: 1, maxItems: 2048 }),
    TokenIds,
    Type.Array(TokenIds, { minItems: 1, maxItems: 2048 }),
  ]);

export const PromptSchema = promptsOf(Type.String());

/** The same without empty texts. */
export const FilledPromptSchema = promptsOf(Type.String({ minLength: 1 }));

/** How much of a prompt is read. */
export const CUT_FIELDS = {
  /** vLLM's: so many of the prompt's last tokens are read; -1: as many as the context holds. */
  truncate_prompt_tokens: Nullable(Type.Integer({ minimum: -1, maximum: Number.MAX_SAFE_INTEGER })),
};

/** UTF-16 units that are cut into tokens before others get their turn: some ten milliseconds. */
const UNITS_PER_TURN = 16_384;

export interface EncodingOptions {
  /** The field that the prompts came in. */
  readonly param: string;
  readonly addSpecialTokens?: boolean;
  /** Whether a part of the tokens is used, so that there may be more than the context holds. */
  readonly isCut?: boolean;
}

/**
 * The tokens of each prompt. A batch is cut in turns, so that the streams of others go on.
 *
 * @throws OctavoError `invalid_request` for an id outside the vocabulary,
 *   `context_length_exceeded`, and what `PromptMaker.encode` throws
 * @throws the reason of the asker's signal: the rest is not done
 */
export async function encodePrompts(
  prompt: Static<typeof PromptSchema>,
  { engine, model, prompts }: Pick<ModelService, 'engine' | 'model' | 'prompts'>,
  options: EncodingOptions,
  asker: Asker,
): Promise<TokenId[][]> {
  const { param, addSpecialTokens = true, isCut = false } = options;
  const { tokenizer } = model;
  const { maxModelLength, vocabSize } = engine.info;
  const assertFits = (text: string): void => {
    if (!isCut) assertMayFit(text, tokenizer, maxModelLength, param);
  };
  const encode = (text: string): Promise<TokenId[]> =>
    prompts.encode({ text, client: NO_SPANS }, { addSpecialTokens, param }, asker);
  if (typeof prompt === 'string') {
    assertFits(prompt);
    return [await encode(prompt)];
  }
  const [first] = prompt;
  if (typeof first === 'number') return [checkTokenIds(prompt as number[], vocabSize, param)];
  const parts = prompt as (string | number[])[];
  for (const part of parts) if (typeof part === 'string') assertFits(part);
  const turns = new Turns(UNITS_PER_TURN, () => asker.signal.aborted);
  const encoded: TokenId[][] = [];
  for (const [index, part] of parts.entries()) {
    if (!(await turns.next(part.length))) throw asker.signal.reason;
    const isText = typeof part === 'string';
    encoded.push(
      isText ? await encode(part) : checkTokenIds(part, vocabSize, `${param}[${index}]`),
    );
  }
  return encoded;
}

/** @throws OctavoError `invalid_request` for an id outside the vocabulary */
export function checkTokenIds(ids: readonly number[], vocabSize: number, param: string): TokenId[] {
  const alien = ids.find((id) => id >= vocabSize);
  if (alien !== undefined) {
    const message = `${param}: ${alien} is not in the vocabulary of ${vocabSize} tokens`;
    throw new OctavoError('invalid_request', message, { param });
  }
  return ids as TokenId[];
}

/**
 * The last tokens of a prompt, as `truncate_prompt_tokens` says.
 *
 * @param context that a prompt and one token of output must fit into
 * @throws OctavoError `invalid_request` for 0, which leaves no prompt, and for more than fits
 */
export function truncated<Token>(
  tokens: Token[],
  count: number | null | undefined,
  context: number,
): Token[] {
  if (count === null || count === undefined) return tokens;
  const most = context - 1;
  if (count === 0 || count > context) {
    const message = `truncate_prompt_tokens must be -1, or from 1 to ${context}`;
    throw new OctavoError('invalid_request', message, { param: 'truncate_prompt_tokens' });
  }
  return tokens.slice(-(count === -1 ? most : count));
}
