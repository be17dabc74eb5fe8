import { type Static, Type } from 'typebox';
import { OctavoError } from '../../../engine/errors.js';
import type { MessageOptions } from '../../../engine/generation/chat-messages.js';
import type { EngineSettings } from '../../../engine/settings.js';
import { type ChatTemplate, RESERVED_VARIABLES } from '../../../engine/text/chat-template.js';
import { MAX_TEMPLATE } from '../../../engine/text/request-templates.js';
import { Nullable } from './request-fields.js';

/** Request fields of chat completions that reach the chat template. */
export const TEMPLATE_FIELDS = {
  chat_template_kwargs: Nullable(Type.Record(Type.String(), Type.Unknown())),
  reasoning_effort: Nullable(Type.Enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh'])),
};

const TemplateFieldsSchema = Type.Object(TEMPLATE_FIELDS);

/** The request's own template; not of all endpoints that render conversations. */
export const OWN_TEMPLATE = {
  /** vLLM's: in place of the model's, with --trust-request-chat-template. */
  chat_template: Nullable(Type.String({ minLength: 1, maxLength: MAX_TEMPLATE })),
};

const OwnTemplateSchema = Type.Object(OWN_TEMPLATE);

/** What is known of the template of a request without running it. */
export type TemplateFacts = Pick<ChatTemplate, 'source' | 'takesTools'>;

/** How a conversation is written: by the model's template, or by the request's own. */
export interface RequestTemplate {
  /** Source of the request's own; null for the model's. */
  readonly own: string | null;
  readonly facts: TemplateFacts | null;
}

/** @throws OctavoError `invalid_request` for a template, where the server does not trust clients */
export function templateOf(
  { chat_template: own }: Static<typeof OwnTemplateSchema>,
  template: ChatTemplate | null,
  { trustRequestChatTemplate: isTrusted }: Pick<EngineSettings, 'trustRequestChatTemplate'>,
): RequestTemplate {
  if (own === null || own === undefined) return { own: null, facts: template };
  if (!isTrusted) {
    const message =
      'chat_template is taken only by a server that runs with --trust-request-chat-template';
    throw new OctavoError('invalid_request', message, { param: 'chat_template' });
  }
  // Whether it shows tools is seen where it runs: in a thread.
  return { own, facts: { source: own, takesTools: true } };
}

/** Whether an effort changes what the model reads. */
export function knowsEffort(template: Pick<ChatTemplate, 'source'> | null): boolean {
  return template?.source.includes('reasoning_effort') === true;
}

/**
 * Variables for the chat template. `reasoning_effort: none` also says `enable_thinking: false`,
 * which is what Qwen's templates know; `chat_template_kwargs` wins. As in vLLM, a template does not
 * read variables that it does not know: then an effort has no effect.
 *
 * @throws OctavoError `invalid_request` for a variable that is the server's
 */
export function templateVariables(
  body: Static<typeof TemplateFieldsSchema>,
  template: Pick<ChatTemplate, 'source'> | null,
): Record<string, unknown> {
  const { reasoning_effort: effort, chat_template_kwargs: given } = body;
  const reserved = Object.keys(given ?? {}).find((name) => RESERVED_VARIABLES.includes(name));
  if (reserved !== undefined) {
    const param = `chat_template_kwargs.${reserved}`;
    throw new OctavoError('invalid_request', `${param} cannot be set: the server sets it`, {
      param,
    });
  }
  return {
    ...(effort && knowsEffort(template) ? { reasoning_effort: effort } : {}),
    ...(effort === 'none' ? { enable_thinking: false } : {}),
    ...given,
  };
}

/** vLLM's fields for how the prompt of a conversation ends. */
export const ENDING_OF_PROMPT = {
  /** The template writes the beginning of the model's answer; true by default. */
  add_generation_prompt: Nullable(Type.Boolean()),
  /** The model goes on with the last message instead. */
  continue_final_message: Nullable(Type.Boolean()),
};

const EndingSchema = Type.Object(ENDING_OF_PROMPT);

/** @throws OctavoError `invalid_request` for both at once */
export function endingOf(body: Static<typeof EndingSchema>): MessageOptions {
  const continuesFinal = body.continue_final_message === true;
  const addGenerationPrompt = body.add_generation_prompt !== false;
  if (continuesFinal && addGenerationPrompt) {
    const message = 'add_generation_prompt must be false with continue_final_message: true';
    throw new OctavoError('invalid_request', message, { param: 'add_generation_prompt' });
  }
  return { addGenerationPrompt, continuesFinal };
}
