import { type Static, type TString, Type } from 'typebox';
import { OctavoError } from '../../../engine/errors.js';
import type { Asker } from '../../../engine/job-pool/job-pool.js';
import { assertMayFit } from '../../../engine/text/assert-may-fit.js';
import { NO_SPANS } from '../../../engine/text/spans.js';
import type { TokenId } from '../../../scheduler/ids.js';
import { Turns } from '../../http/turns.js';
import type { ModelService } from '../../models.js';

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

/** UTF-16 units that are cut into tokens before others get their turn: some ten milliseconds. */
const UNITS_PER_TURN = 16_384;

/**
 * The tokens of each prompt. A batch is cut in turns, so that the streams of others go on.
 *
 * @param options `param` is the field that the prompts came in
 * @throws OctavoError `invalid_request` for an id outside the vocabulary,
 *   `context_length_exceeded`, and what `PromptMaker.encode` throws
 * @throws the reason of the asker's signal: the rest is not done
 */
export async function encodePrompts(
  prompt: Static<typeof PromptSchema>,
  { engine, model, prompts }: Pick<ModelService, 'engine' | 'model' | 'prompts'>,
  options: { readonly param: string; readonly addSpecialTokens?: boolean },
  asker: Asker,
): Promise<TokenId[][]> {
  const { param, addSpecialTokens = true } = options;
  const { tokenizer } = model;
  const { maxModelLength, vocabSize } = engine.info;
  const assertFits = (text: string): void => assertMayFit(text, tokenizer, maxModelLength, param);
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
