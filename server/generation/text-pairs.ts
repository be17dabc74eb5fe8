import { OctavoError } from '../../engine/errors.js';
import type { Asker } from '../../engine/job-pool/job-pool.js';
import { contextExceeded } from '../../engine/text/assert-may-fit.js';
import { cutPair } from '../../engine/text/cut-tokens.js';
import type { TokenId } from '../../scheduler/ids.js';
import type { ModelService } from '../models.js';
import { encodePrompts } from '../openai/fields/prompt-input.js';
import type { ReadPrompt } from './embed.js';

/** A query, or a text, and what is compared with it; both are indexes. */
export type PairIndexes = readonly [first: number, second: number];

export interface PairTexts {
  readonly firsts: readonly string[];
  readonly seconds: readonly string[];
  readonly pairs: readonly PairIndexes[];
  /** Request field of the second texts, for errors. */
  readonly param: string;
  /** Tokens to which a pair is cut, special ones included; null: a longer one is refused. */
  readonly cutTo: number | null;
}

/**
 * Pairs of texts as a cross-encoder reads them: in one row, with the tokenizer's special tokens
 * around and between them.
 *
 * @throws OctavoError `context_length_exceeded`; `task_unsupported` for a tokenizer without pairs
 */
export async function pairPrompts(
  { firsts, seconds, pairs, param, cutTo }: PairTexts,
  service: ModelService,
  asker: Asker,
): Promise<ReadPrompt[]> {
  const { maxModelLength } = service.engine.info;
  const frame = service.model.tokenizer.frame?.pair;
  if (!frame) {
    const message = "the model's tokenizer.json says not how two texts are read as a pair";
    throw new OctavoError('task_unsupported', message, { param: 'model' });
  }
  const encode = (texts: readonly string[]): Promise<TokenId[][]> =>
    encodePrompts([...texts], service, { param, addSpecialTokens: false }, asker);
  const [first, second] = [await encode(firsts), await encode(seconds)];
  const { before, between, after, secondType } = frame as typeof frame & PairIds;
  const added = before.length + between.length + after.length;
  return pairs.map(([a, b]) => {
    const [left, right] = [first[a], second[b]];
    const whole = left.length + right.length + added;
    if (whole > (cutTo ?? maxModelLength) && cutTo === null) {
      const context = maxModelLength;
      throw contextExceeded({ context, promptTokens: whole, wanted: null, param });
    }
    const room = Math.max(0, (cutTo ?? maxModelLength) - added);
    const [fromLeft, fromRight] = cutPair(left.length, right.length, room);
    const head = [...before, ...left.slice(0, fromLeft)];
    return {
      promptTokenIds: [...head, ...between, ...right.slice(0, fromRight), ...after],
      pooling: 'model',
      ...(secondType !== null && { secondFrom: head.length + secondType }),
    };
  });
}

/** The same ids, as tokens. */
type PairIds = Readonly<Record<'before' | 'between' | 'after', readonly TokenId[]>>;
