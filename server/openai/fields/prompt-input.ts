import type { FastifyReply } from 'fastify';
import { type Static, type TString, Type } from 'typebox';
import { OctavoError } from '../../../engine/errors.js';
import { assertMayFit } from '../../../engine/text/assert-may-fit.js';
import type { TokenId } from '../../../scheduler/ids.js';
import { closedBecause } from '../../http/in-flight.js';
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
 * @param reply of the request: when its client has left, the rest is not done
 * @throws OctavoError `invalid_request` for an id outside the vocabulary,
 *   `context_length_exceeded`, `client_closed`
 */
export async function encodePrompts(
  prompt: Static<typeof PromptSchema>,
  { engine, model }: Pick<ModelService, 'engine' | 'model'>,
  options: { readonly param: string; readonly addSpecialTokens?: boolean },
  reply: Pick<FastifyReply, 'raw'>,
): Promise<TokenId[][]> {
  const { param, addSpecialTokens = true } = options;
  const { tokenizer } = model;
  const { maxModelLength, vocabSize } = engine.info;
  const assertFits = (text: string): void => assertMayFit(text, tokenizer, maxModelLength, param);
  const encode = (text: string): TokenId[] => tokenizer.encode(text, { addSpecialTokens });
  if (typeof prompt === 'string') {
    assertFits(prompt);
    return [encode(prompt)];
  }
  const [first] = prompt;
  if (typeof first === 'number') return [checkTokenIds(prompt as number[], vocabSize, param)];
  const parts = prompt as (string | number[])[];
  for (const part of parts) if (typeof part === 'string') assertFits(part);
  const turns = new Turns(UNITS_PER_TURN, () => reply.raw.destroyed);
  const prompts: TokenId[][] = [];
  for (const [index, part] of parts.entries()) {
    if (!(await turns.next(part.length))) throw closedBecause(reply);
    const isText = typeof part === 'string';
    prompts.push(isText ? encode(part) : checkTokenIds(part, vocabSize, `${param}[${index}]`));
  }
  return prompts;
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
