import { type Static, Type } from 'typebox';
import { OctavoError } from '../../engine/errors.js';
import { type ChatTemplate, RESERVED_VARIABLES } from '../text/chat-template.js';
import { Nullable } from './request-fields.js';

/** Request fields of chat completions that reach the chat template. */
export const TEMPLATE_FIELDS = {
  chat_template_kwargs: Nullable(Type.Record(Type.String(), Type.Unknown())),
  reasoning_effort: Nullable(Type.Enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh'])),
};

const TemplateFieldsSchema = Type.Object(TEMPLATE_FIELDS);

/**
 * Variables for the chat template. `reasoning_effort: none` also says `enable_thinking: false`, which is what Qwen's templates
 * know; `chat_template_kwargs` wins. As in vLLM, a template does not read variables that it does not know.
 *
 * @throws OctavoError `invalid_request` for a variable that is the server's, or an effort that the template does not know
 */
export function templateVariables(
  body: Static<typeof TemplateFieldsSchema>,
  template: ChatTemplate | null,
): Record<string, unknown> {
  const { reasoning_effort: effort, chat_template_kwargs: given } = body;
  const reserved = Object.keys(given ?? {}).find((name) => RESERVED_VARIABLES.includes(name));
  if (reserved !== undefined) {
    const param = `chat_template_kwargs.${reserved}`;
    throw new OctavoError('invalid_request', `${param} cannot be set: the server sets it`, {
      param,
    });
  }
  const knowsEffort = template?.source.includes('reasoning_effort') === true;
  if (effort && effort !== 'none' && !knowsEffort) {
    const message = `reasoning_effort ${effort}: the model's chat template knows no effort`;
    throw new OctavoError('invalid_request', message, { param: 'reasoning_effort' });
  }
  return {
    ...(effort && knowsEffort ? { reasoning_effort: effort } : {}),
    ...(effort === 'none' ? { enable_thinking: false } : {}),
    ...given,
  };
}
