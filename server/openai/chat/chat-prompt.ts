import { type MessageOptions, renderMessages } from '../../../engine/generation/chat-messages.js';
import type { Message } from '../../../engine/generation/message.js';
import type { MessagePlan } from '../../../engine/generation/message-form.js';
import type { FieldGrammar } from '../../../engine/generation/output-constraint.js';
import { assertMayFit } from '../../../engine/text/assert-may-fit.js';
import { encodePrompt } from '../../../engine/text/served-model.js';
import type { PromptText } from '../../../engine/text/spans.js';
import type { ToolPlan } from '../../../engine/tools/tool-plan.js';
import type { TokenId } from '../../../scheduler/ids.js';
import type { ModelService } from '../../models.js';

export interface ChatOptions extends Omit<MessageOptions, 'tools'> {
  /** Null: nothing may be called. */
  readonly tools: ToolPlan | null;
  /** What an answer that calls nothing must follow; null: nothing. */
  readonly answer: FieldGrammar | null;
}

/**
 * Renders a conversation, and plans the form of the answer to it.
 *
 * @throws OctavoError `invalid_request` for messages that the template refuses, and for options
 *   that do not go together
 */
export function planChat(
  messages: readonly Message[],
  { model, forms }: Pick<ModelService, 'model' | 'forms'>,
  { tools, answer, ...rendering }: ChatOptions,
): MessagePlan {
  const rendered = renderMessages(messages, model, { ...rendering, tools: tools?.shown ?? null });
  return forms.plan(rendered, tools, answer);
}

/**
 * The tokens of a rendered prompt. A text that cannot fit is refused before it is tokenized.
 *
 * @param param the field that the prompt came in, for the error
 * @param options as of `encodePrompt`
 * @throws OctavoError `context_length_exceeded`
 */
export function encodeFitting(
  prompt: PromptText,
  { model, engine }: Pick<ModelService, 'model' | 'engine'>,
  param: string,
  options: { readonly addSpecialTokens?: boolean } = {},
): TokenId[] {
  assertMayFit(prompt.text, model.tokenizer, engine.info.maxModelLength, param);
  return encodePrompt(prompt, model, options);
}
