import type { TokenId } from '../../scheduler/ids.js';
import type { ChatTemplate } from './chat-template.js';
import type { Tokenizer } from './tokenizer.js';

/**
 * Tokens that only a chat template may write into a chat: special tokens, and the marks of turns.
 * Not every tokenizer marks the latter as special (DeepSeek's `<｜User｜>` is not), so they are found
 * in what the template writes around plain turns.
 */
export function controlTokens(
  tokenizer: Tokenizer,
  template: ChatTemplate | null,
): ReadonlySet<TokenId> {
  const control = new Set<TokenId>();
  for (const [id, isSpecial] of tokenizer.addedTokens) if (isSpecial) control.add(id);
  for (const id of tokensOfTurns(tokenizer, template)) {
    const isMark = tokenizer.addedTokens.has(id) && !ORDINARY.test(tokenizer.entryOf(id));
    if (isMark) control.add(id);
  }
  return control;
}

/**
 * Some vocabularies have words and spaces as added tokens. In a client's text, these are ordinary.
 */
const ORDINARY = /^[\p{L}\p{M}\p{N}\s▁Ġ]*$/u;

function tokensOfTurns(tokenizer: Tokenizer, template: ChatTemplate | null): readonly TokenId[] {
  const turns = ['user', 'assistant', 'user'].map((role) => ({ role, content: 'x' }));
  try {
    const text = template?.render(turns, { addGenerationPrompt: false }) ?? '';
    return tokenizer.encode(text, { addSpecialTokens: false });
  } catch {
    // A template that refuses plain turns has no marks for them.
    return [];
  }
}
