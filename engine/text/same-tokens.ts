import type { TokenId } from '../../scheduler/ids.js';
import { clip } from '../clip.js';
import type { Tokenizer } from './tokenizer.js';

/**
 * How a tokenizer's tokens differ from those of another: the same ids must stand for the same
 * texts, and the same of them must be special.
 *
 * @returns the first difference, in words; null when there is none
 */
export function differenceOf(tokenizer: Tokenizer, other: Tokenizer): string | null {
  if (tokenizer.vocabSize !== other.vocabSize) {
    return `it has ${other.vocabSize} tokens, not ${tokenizer.vocabSize}`;
  }
  for (let id = 0 as TokenId; id < tokenizer.vocabSize; id = (id + 1) as TokenId) {
    const [entry, its] = [tokenizer.entryOf(id), other.entryOf(id)];
    if (entry !== its) return `token ${id} is ${shown(its)}, not ${shown(entry)}`;
    const [kind, itsKind] = [kindOf(tokenizer, id), kindOf(other, id)];
    if (kind !== itsKind) return `token ${id}, ${shown(entry)}, is ${itsKind}, not ${kind}`;
  }
  return null;
}

const shown = (entry: string): string => clip(JSON.stringify(entry));

function kindOf({ addedTokens }: Tokenizer, id: TokenId): string {
  const isSpecial = addedTokens.get(id);
  if (isSpecial === undefined) return 'an ordinary token';
  return isSpecial ? 'a special token' : 'an added token';
}
