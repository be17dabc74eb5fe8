import type { TokenId } from '../../scheduler/ids.js';
import type { ChatTemplate } from './chat-template.js';
import type { Tokenizer } from './tokenizer.js';

/**
 * Tokens that only a chat template may write into a chat: the special ones, and the marks of turns.
 * Not every tokenizer says that those are special (DeepSeek's `<｜User｜>` is not), so they are seen
 * from what the template writes around plain turns.
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
 * Words and spaces are tokens of their own in some vocabularies: in a client's text, they are what
 * they always are.
 */
const ORDINARY = /^[\p{L}\p{M}\p{N}\s▁Ġ]*$/u;

function tokensOfTurns(tokenizer: Tokenizer, template: ChatTemplate | null): readonly TokenId[] {
  const turns = ['user', 'assistant', 'user'].map((role) => ({ role, content: 'x' }));
  try {
    const text = template?.render(turns, { addGenerationPrompt: false }) ?? '';
    return tokenizer.encode(text, { addSpecialTokens: false });
  } catch {
    // A template that does not take plain turns has no marks for them.
    return [];
  }
}
