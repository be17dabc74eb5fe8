import { OctavoError } from '../../engine/errors.js';
import type { Message } from '../../engine/generation/message.js';
import type { MessagePlan } from '../../engine/generation/message-form.js';
import type { Asker } from '../../engine/job-pool/job-pool.js';
import { assertFewEnough, assertMayFit } from '../../engine/text/assert-may-fit.js';
import { NO_SPANS } from '../../engine/text/spans.js';
import { planTools, type ToolPlan } from '../../engine/tools/tool-plan.js';
import type { TokenId } from '../../scheduler/ids.js';
import type { ModelService } from '../models.js';
import { encodeFitting, planChat } from '../openai/chat/chat-prompt.js';
import { checkTokenIds } from '../openai/fields/prompt-input.js';
import { thinkingVariables, toMessages } from './conversation.js';
import {
  formatOf,
  type GenerateBody,
  type GenerationBody,
  type OllamaChatBody,
  refuseImages,
} from './fields.js';

/** What a request asks for, once it is checked. */
export interface Prepared extends Omit<MessagePlan, 'prompt'> {
  readonly tokenIds: readonly TokenId[];
  readonly tools: ToolPlan | null;
  /** The text goes on behind the prompt's; otherwise it is a message of its own. */
  readonly continuesPrompt: boolean;
}

/** @throws OctavoError what is wrong with the request */
export async function prepareChat(
  body: OllamaChatBody,
  service: ModelService,
  asker: Asker,
): Promise<Prepared> {
  const { model, forms, settings } = service;
  const messages = toMessages(body.messages ?? []);
  const last = messages.at(-1);
  // As Ollama's: a last message of the model is the beginning of its answer.
  const continuesFinal = last?.role === 'assistant' && !last.tool_calls?.length;
  const offered = body.tools?.length ? { tools: body.tools } : {};
  const compact = settings.disableAnyWhitespace;
  const tools = planTools(offered, model.chatTemplate, forms.tools, compact);
  return fromMessages(messages, body, tools, continuesFinal, service, asker);
}

/**
 * A prompt becomes the message of a user, if the model has a chat template.
 *
 * @throws OctavoError what is wrong with the request
 */
export async function prepareGenerate(
  body: GenerateBody,
  service: ModelService,
  asker: Asker,
): Promise<Prepared> {
  refuseImages(body.images, 'images');
  for (const field of ['suffix', 'template'] as const) {
    if (!body[field]) continue;
    throw new OctavoError('invalid_request', `${field} is not supported`, { param: field });
  }
  const { engine } = service;
  const before = checkTokenIds(body.context ?? [], engine.info.vocabSize, 'context');
  const isPlain = body.raw === true || service.model.chatTemplate === null;
  const prepared = isPlain
    ? await fromText(body, service, asker)
    : await fromMessages(
        [
          ...(body.system ? [{ role: 'system', content: body.system }] : []),
          { role: 'user', content: body.prompt ?? '' },
        ],
        body,
        null,
        false,
        service,
        asker,
      );
  return { ...prepared, tokenIds: [...before, ...prepared.tokenIds] };
}

async function fromMessages(
  messages: readonly Message[],
  body: GenerationBody,
  tools: ToolPlan | null,
  continuesFinal: boolean,
  service: ModelService,
  asker: Asker,
): Promise<Prepared> {
  const { model, engine, settings } = service;
  assertFewEnough(messages.length, engine.info.maxModelLength, 'messages');
  const { prompt, ...plan } = await planChat(
    messages,
    service,
    {
      addGenerationPrompt: !continuesFinal,
      continuesFinal,
      tools,
      variables: thinkingVariables(body, model.chatTemplate),
      answer: formatOf(body, settings.disableAnyWhitespace),
    },
    asker,
  );
  const tokenIds = await encodeFitting(prompt, service, { param: 'messages' }, asker);
  return { ...plan, tokenIds, tools, continuesPrompt: continuesFinal };
}

async function fromText(
  body: GenerateBody,
  { model, engine, prompts, settings }: ModelService,
  asker: Asker,
): Promise<Prepared> {
  if (body.system) {
    const reason = body.raw === true ? 'with raw: true' : 'because the model has no chat template';
    const message = `system is not read ${reason}; write it into prompt`;
    throw new OctavoError('invalid_request', message, { param: 'system' });
  }
  const text = body.prompt ?? '';
  assertMayFit(text, model.tokenizer, engine.info.maxModelLength, 'prompt');
  const encoding = { param: 'prompt', addSpecialTokens: true };
  const tokenIds = await prompts.encode({ text, client: NO_SPANS }, encoding, asker);
  const grammar = formatOf(body, settings.disableAnyWhitespace);
  return {
    tokenIds,
    tools: null,
    continuesPrompt: true,
    message: null,
    grammar: grammar?.spec ?? null,
    checks: grammar ? [{ ...grammar, suspects: [] }] : [],
  };
}
