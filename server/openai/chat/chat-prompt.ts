import type { MessageOptions } from '../../../engine/generation/chat-messages.js';
import type { Message } from '../../../engine/generation/message.js';
import type { MessagePlan } from '../../../engine/generation/message-form.js';
import type { FieldGrammar } from '../../../engine/generation/output-constraint.js';
import type { Asker } from '../../../engine/job-pool/job-pool.js';
import { assertMayFit } from '../../../engine/text/assert-may-fit.js';
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
export async function planChat(
  messages: readonly Message[],
  { prompts, forms }: Pick<ModelService, 'prompts' | 'forms'>,
  { tools, answer, ...rendering }: ChatOptions,
  asker: Asker,
): Promise<MessagePlan> {
  const options = { ...rendering, tools: tools?.shown ?? null };
  return forms.plan(await prompts.render(messages, options, asker), tools, answer);
}

/**
 * The tokens of a rendered prompt. A text that cannot fit is refused before it is tokenized.
 *
 * @param options `param` is the field that the prompt came in, for errors. Templates write special
 *   tokens themselves, so none are added unless the options say so. `isCut`: a part of the tokens
 *   is used, so that there may be more than the context holds
 * @throws OctavoError `context_length_exceeded`, and what `PromptMaker.encode` throws
 */
export async function encodeFitting(
  prompt: PromptText,
  { model, engine, prompts }: Pick<ModelService, 'model' | 'engine' | 'prompts'>,
  {
    param,
    addSpecialTokens = false,
    isCut = false,
  }: { param: string; addSpecialTokens?: boolean; isCut?: boolean },
  asker: Asker,
): Promise<TokenId[]> {
  if (!isCut) assertMayFit(prompt.text, model.tokenizer, engine.info.maxModelLength, param);
  return prompts.encode(prompt, { addSpecialTokens, param }, asker);
}
