import type { ThinkingLimit } from '../../engine/sampling/thinking-budget.js';
import type { ModelService } from '../models.js';
import { thinkingLimit } from '../openai/fields/thinking-budget.js';
import type { PromptBody } from './message-fields.js';

/**
 * The bound of a message's reasoning. Clients send a budget to every model, so one that cannot
 * exceed it, or whose reasoning no text closes, is not refused: the first needs no bound, the
 * second has none but `max_tokens`.
 *
 * @param prompt as the model reads it
 */
export function messageThinkingLimit(
  thinking: PromptBody['thinking'],
  prompt: string,
  { forms, model }: Pick<ModelService, 'forms' | 'model'>,
): ThinkingLimit | undefined {
  if (thinking?.type !== 'enabled' || !forms.reasoning?.tags) return undefined;
  return thinkingLimit(thinking.budget_tokens, prompt, forms, model.tokenizer);
}
