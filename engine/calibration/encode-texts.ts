import type { TokenId } from '../../scheduler/ids.js';
import type { ServedModel } from '../text/served-model.js';
import { type CalibrationText, refused } from './read-texts.js';

/** How much of the texts is used, at most. */
export interface CalibrationLimits {
  readonly sequences: number;
  /** Tokens of a text, its first. */
  readonly length: number;
  /** Of all texts. */
  readonly tokens: number;
}

/**
 * The tokens of the first texts.
 *
 * @param file its name, for messages
 * @throws OctavoError `usage` for conversations without a chat template, and without any token;
 *   `invalid_request` when the template refuses a conversation
 */
export function encodeTexts(
  file: string,
  texts: readonly CalibrationText[],
  { tokenizer, chatTemplate }: Pick<ServedModel, 'tokenizer' | 'chatTemplate'>,
  limits: CalibrationLimits,
): TokenId[][] {
  const sequences: TokenId[][] = [];
  let left = limits.tokens;
  for (const text of texts) {
    if (sequences.length === limits.sequences || left === 0) break;
    const tokens = encode(text).slice(0, Math.min(limits.length, left));
    if (tokens.length === 0) continue;
    sequences.push(tokens);
    left -= tokens.length;
  }
  if (sequences.length === 0) throw refused(file, 'its texts have no tokens');
  return sequences;

  function encode(text: CalibrationText): TokenId[] {
    if ('text' in text) return tokenizer.encode(text.text, { addSpecialTokens: true });
    if (!chatTemplate) {
      throw refused(file, 'has "messages", and the model has no chat template: give "text"');
    }
    const { messages, tools } = text;
    const rendered = chatTemplate.render(messages, { tools, addGenerationPrompt: false });
    return tokenizer.encode(rendered, { addSpecialTokens: false });
  }
}
