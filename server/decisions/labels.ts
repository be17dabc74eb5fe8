import { OctavoError } from '../../engine/errors.js';
import type { Tokenizer } from '../../engine/text/tokenizer.js';
import type { TokenId } from '../../scheduler/ids.js';

/** The word by which an option is answered, and its one token. */
export interface Label {
  readonly text: string;
  readonly tokenId: TokenId;
}

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'.split('');

/** Letters, then pairs of them: what tokenizers have as single tokens. */
const WORDS = [...LETTERS, ...LETTERS.flatMap((a) => LETTERS.map((b) => a + b))];

/**
 * Labels that are one token each where an answer begins, different from all others.
 *
 * @param opening the end of the prompt, behind which the answer begins
 * @param count the most options of a question
 * @throws OctavoError `invalid_request` when the tokenizer has fewer
 */
export function labelsBehind(opening: string, count: number, tokenizer: Tokenizer): Label[] {
  const before = tokenizer.encode(opening, { addSpecialTokens: false });
  const labels: Label[] = [];
  const taken = new Set<TokenId>();
  for (const text of WORDS) {
    if (labels.length === count) break;
    const ids = tokenizer.encode(opening + text, { addSpecialTokens: false });
    const tokenId = ids.at(-1);
    const isOne =
      tokenId !== undefined &&
      ids.length === before.length + 1 &&
      before.every((id, index) => id === ids[index]);
    if (!isOne || taken.has(tokenId)) continue;
    taken.add(tokenId);
    labels.push({ text, tokenId });
  }
  if (labels.length === count) return labels;
  const message = `questions: one has ${count} options, and the model's tokenizer has single tokens for ${labels.length}`;
  throw new OctavoError('invalid_request', message, { param: 'questions' });
}
