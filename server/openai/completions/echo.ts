import type { Static } from 'typebox';
import { countCharacters } from '../../../engine/generation/held-tokens.js';
import type { TokenLogprobs } from '../../../engine/protocol/outputs.js';
import type { Tokenizer } from '../../../engine/text/tokenizer.js';
import type { TokenId } from '../../../scheduler/ids.js';
import type { PromptSchema } from '../fields/prompt-input.js';
import type { PlacedToken } from '../logprobs.js';

/** A prompt at the head of its completions. */
export interface Echo {
  readonly text: string;
  /** In code points. */
  readonly characters: number;
  readonly tokenIds: readonly TokenId[];
}

export const NO_ECHO: Echo = { text: '', characters: 0, tokenIds: [] };

/**
 * A prompt is echoed as it was sent; decoding is only for prompts that came as ids.
 *
 * @param index of the prompt among those of the request
 */
export function echoOf(
  prompt: Static<typeof PromptSchema>,
  index: number,
  tokenIds: readonly TokenId[],
  tokenizer: Tokenizer,
): Echo {
  const sent = typeof prompt === 'string' ? prompt : prompt[index];
  const text =
    typeof sent === 'string' ? sent : tokenizer.decode(tokenIds, { skipSpecialTokens: false });
  return { text, characters: countCharacters(text), tokenIds };
}

/**
 * The prompt's tokens with their places in the echoed text.
 *
 * @param logprobs of each token but the first
 */
export function placeTokens(
  { tokenIds, characters }: Echo,
  logprobs: readonly TokenLogprobs[],
  tokenizer: Tokenizer,
): PlacedToken[] {
  const detokenizer = tokenizer.createDetokenizer({ skipSpecialTokens: false });
  let end = 0;
  const begins = tokenIds.map((id) => {
    const begin = end;
    end += countCharacters(detokenizer.push(id));
    return begin;
  });
  end += countCharacters(detokenizer.flush());
  // What a tokenizer adds in front (a beginning of sequence) does not stand in the text that was
  // sent.
  const added = Math.max(0, end - characters);
  return tokenIds.map((id, i) => {
    const place = { id, offset: Math.max(0, begins[i] - added) };
    return i === 0 ? place : { ...place, logprobs: logprobs[i - 1] };
  });
}
