import { OctavoError } from '../../engine/errors.js';
import type { Message } from '../../engine/generation/message.js';
import type { MessagePlan } from '../../engine/generation/message-form.js';
import type { FieldGrammar } from '../../engine/generation/output-constraint.js';
import type { Asker } from '../../engine/job-pool/job-pool.js';
import { assertFewEnough } from '../../engine/text/assert-may-fit.js';
import type { ChatTemplate } from '../../engine/text/chat-template.js';
import { planTools, type ToolPlan } from '../../engine/tools/tool-plan.js';
import type { TokenId } from '../../scheduler/ids.js';
import type { ModelService } from '../models.js';
import { encodeFitting, planChat } from '../openai/chat/chat-prompt.js';
import { templateVariables } from '../openai/fields/template-fields.js';
import { toMessages } from './conversation.js';
import type { PromptBody } from './message-fields.js';
import { toChatTools, withOwnNames } from './tools.js';

/** What a request is about, once it is checked. */
export interface PreparedMessage extends MessagePlan {
  readonly tokenIds: readonly TokenId[];
  readonly tools: ToolPlan | null;
  /** Whether the answer goes on with the last message, which is the model's own. */
  readonly continuesFinal: boolean;
}

/** @throws OctavoError what is wrong with the request */
export function prepareMessage(
  body: PromptBody,
  service: ModelService,
  asker: Asker,
): Promise<PreparedMessage> {
  return withOwnNames(body, () => prepare(body, service, asker));
}

async function prepare(
  body: PromptBody,
  service: ModelService,
  asker: Asker,
): Promise<PreparedMessage> {
  assertNoThread(body);
  const { model, forms, engine, settings } = service;
  const { maxModelLength } = engine.info;
  const compact = settings.disableAnyWhitespace;
  const tools = planTools(toChatTools(body), model.chatTemplate, forms.tools, compact);
  const variables = variablesOf(body, model.chatTemplate);
  const messages = toMessages(
    body.system,
    body.messages,
    model.chatTemplate?.takesLaterSystem === true,
  );
  const continuesFinal = endsWithOwnText(messages);
  const options = {
    continuesFinal,
    addGenerationPrompt: !continuesFinal,
    tools,
    variables,
    answer: answerGrammar(body, compact),
  };
  try {
    assertFewEnough(messages.length, maxModelLength, 'messages');
    const planned = await planChat(messages, service, options, asker);
    const encoding = { param: 'messages' };
    const tokenIds = await encodeFitting(planned.prompt, service, encoding, asker);
    // One token of the context is the answer's, at least.
    if (tokenIds.length >= maxModelLength) {
      const message = `${tokenIds.length} tokens > ${maxModelLength - 1} maximum`;
      throw new OctavoError('context_length_exceeded', message, { param: 'messages' });
    }
    return { ...planned, tokenIds, tools, continuesFinal };
  } catch (error) {
    throw tooLong(error);
  }
}

/** @throws OctavoError `thread_unsupported` */
function assertNoThread({ thread }: PromptBody): void {
  if (!thread) return;
  const message = 'thread: conversations are not kept here; send all of their messages';
  throw new OctavoError('thread_unsupported', message, { param: 'thread' });
}

/** Clients recognize the error by these words, and shorten their conversations. */
function tooLong(error: unknown): unknown {
  if (!(error instanceof OctavoError) || error.kind !== 'context_length_exceeded') return error;
  const message = `prompt is too long: ${error.message}`;
  return new OctavoError('context_length_exceeded', message, { param: 'messages', cause: error });
}

/**
 * Whether the conversation ends with the beginning of an answer. Removes a last message of the
 * model that says nothing.
 *
 * @throws OctavoError `invalid_request` when calls of the model have no results
 */
function endsWithOwnText(messages: Message[]): boolean {
  const last = messages.at(-1);
  if (last?.role !== 'assistant') {
    if (last && messages.some(({ role }) => role !== 'system')) return false;
    const message = 'messages: there is no text in any of them';
    throw new OctavoError('invalid_request', message, { param: 'messages' });
  }
  if (last.tool_calls?.length) {
    const message = 'messages: the last one calls tools; a message with their results must follow';
    throw new OctavoError('invalid_request', message, { param: 'messages' });
  }
  if (typeof last.content === 'string' && last.content.trim() !== '') return true;
  messages.pop();
  return endsWithOwnText(messages);
}

/** Nothing is thought unless the request asks for it, if the template lets that be chosen. */
function variablesOf(
  { thinking, output_config: output, chat_template_kwargs: given }: PromptBody,
  template: ChatTemplate | null,
): Record<string, unknown> {
  const effort = output?.effort ?? null;
  return {
    enable_thinking: (thinking?.type ?? 'disabled') !== 'disabled',
    ...templateVariables(
      {
        // Chats' highest has another name.
        reasoning_effort: effort === 'max' ? 'xhigh' : effort,
        chat_template_kwargs: given ?? null,
      },
      template,
    ),
  };
}

function answerGrammar(
  { output_config: output }: PromptBody,
  compact: boolean,
): FieldGrammar | null {
  const format = output?.format ?? null;
  if (format === null) return null;
  return {
    spec: {
      kind: 'json-schema',
      source: JSON.stringify(format.schema),
      ...(compact ? { compact } : {}),
    },
    field: 'output_config.format.schema',
  };
}
