import { type Static, Type } from 'typebox';
import { OctavoError } from '../../../engine/errors.js';
import type { MessageOptions } from '../../../engine/generation/chat-messages.js';
import { Nullable } from './request-fields.js';

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
