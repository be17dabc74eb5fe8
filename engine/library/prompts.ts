import type { TokenId } from '../../scheduler/ids.js';
import { OctavoError } from '../errors.js';
import type { Message } from '../generation/message.js';
import type { TextOptions } from '../generation/text-request.js';
import type { GrammarCheck } from '../grammar/check-messages.js';
import type { Asker } from '../job-pool/job-pool.js';
import type { PromptImage } from '../protocol/prompt-image.js';
import type { GrammarSpec } from '../protocol/request.js';
import { assertFewEnough, assertMayFit } from '../text/assert-may-fit.js';
import { KNOWN_ROLES, MAX_ROLE_LENGTH } from '../text/roles.js';
import { NO_SPANS, wholeSpan } from '../text/spans.js';
import { newCallId } from '../tools/call-ids.js';
import { planTools } from '../tools/tool-plan.js';
import { placeImages } from '../vision/place-images.js';
import type { EngineParts } from './engine-parts.js';
import { type ChatOptions, type GenerateOptions, grammarOfFormat } from './options.js';

/** A prompt as it is submitted. */
export interface Prompt {
  readonly tokenIds: readonly TokenId[];
  /** That it has; absent: none. */
  readonly images?: readonly PromptImage[];
  /** The option that it comes from, for errors. */
  readonly field: 'messages' | 'prompt';
  /** What the output is expected to be; absent: nothing is. */
  readonly prediction?: readonly TokenId[];
  readonly grammar: GrammarSpec | null;
  /** How its outputs are parsed. */
  readonly text: Pick<TextOptions, 'message' | 'prefixTokenIds'>;
  readonly newCallId: () => string;
}

/** Prompts of one call, and the checks of their grammar that must pass before anything runs. */
export interface PromptPlan {
  readonly prompts: readonly Prompt[];
  readonly checks: readonly GrammarCheck[];
}

/** @throws OctavoError `invalid_request`, `context_length_exceeded` */
export async function encodeText(
  text: string,
  { model, port, prompts }: Pick<EngineParts, 'model' | 'port' | 'prompts'>,
  asker: Asker,
): Promise<TokenId[]> {
  const { tokenizer } = model;
  if (typeof text !== 'string') {
    throw new OctavoError('invalid_request', 'a prompt must be a string', { param: 'prompt' });
  }
  assertMayFit(text, tokenizer, port.info.maxModelLength, 'prompt');
  const encoding = { addSpecialTokens: true, param: 'prompt' };
  return prompts.encode({ text, client: NO_SPANS }, encoding, asker);
}

/**
 * Texts that are continued without a chat template.
 *
 * @throws OctavoError `invalid_request`, `context_length_exceeded`
 */
export async function textPrompts(
  texts: readonly string[],
  options: GenerateOptions,
  parts: EngineParts,
  asker: Asker,
): Promise<PromptPlan> {
  const format = grammarOfFormat(options.responseFormat);
  const predicted = await predictedOutput(options, parts, asker);
  const prompts: Prompt[] = [];
  for (const text of texts) {
    const tokenIds = await encodeText(text, parts, asker);
    prompts.push({
      tokenIds,
      ...predicted,
      field: 'prompt',
      grammar: format?.spec ?? null,
      text: { message: null, prefixTokenIds: tokenIds },
      newCallId,
    });
  }
  return { prompts, checks: format ? [{ ...format, suspects: [] }] : [] };
}

/**
 * A conversation for the model to answer.
 *
 * @throws OctavoError `invalid_request`, `context_length_exceeded`
 */
export async function chatPrompt(
  messages: readonly Message[],
  options: ChatOptions,
  parts: EngineParts,
  asker: Asker,
): Promise<PromptPlan> {
  const { model, forms, port, prompts, settings } = parts;
  const { maxModelLength } = port.info;
  assertMessages(messages);
  assertFewEnough(messages.length, maxModelLength, 'messages');
  const tools = planTools(
    {
      tools: options.tools ?? null,
      tool_choice: options.toolChoice ?? null,
      parallel_tool_calls: options.parallelToolCalls ?? null,
    },
    model.chatTemplate,
    forms.tools,
    settings.disableAnyWhitespace,
  );
  const rendering = {
    tools: tools?.shown ?? null,
    ...(options.templateVariables && { variables: options.templateVariables }),
  };
  const rendered = await prompts.render(messages, rendering, asker);
  const format = grammarOfFormat(options.responseFormat);
  const { prompt, message, grammar, checks } = forms.plan(rendered, tools, format);
  assertMayFit(prompt.text, model.tokenizer, maxModelLength, 'messages');
  const encoding = { addSpecialTokens: false, param: 'messages' };
  const tokenIds = await prompts.encode(prompt, encoding, asker);
  const images = placeImages(tokenIds, prompt);
  const planned: Prompt = {
    tokenIds,
    ...(images && { images }),
    ...(await predictedOutput(options, parts, asker)),
    field: 'messages',
    grammar,
    text: { message, prefixTokenIds: [] },
    newCallId: () => tools?.format.newCallId() ?? newCallId(),
  };
  return { prompts: [planned], checks };
}

/** @throws OctavoError `context_length_exceeded` for one that no output can be as long as */
async function predictedOutput(
  { prediction = '' }: GenerateOptions,
  { model, port, prompts }: EngineParts,
  asker: Asker,
): Promise<Pick<Prompt, 'prediction'>> {
  if (prediction === '') return {};
  const param = 'prediction';
  assertMayFit(prediction, model.tokenizer, port.info.maxModelLength, param);
  const text = { text: prediction, client: wholeSpan(prediction.length) };
  return { prediction: await prompts.encode(text, { addSpecialTokens: false, param }, asker) };
}

function assertMessages(messages: readonly Message[]): void {
  const refuse = (param: string, what: string): never => {
    throw new OctavoError('invalid_request', `${param} ${what}`, { param });
  };
  if (!Array.isArray(messages) || messages.length === 0) {
    refuse('messages', 'must be a list of at least one message');
  }
  for (const [index, message] of messages.entries()) {
    const role: unknown = message?.role;
    if (typeof role !== 'string' || role === '' || role.length > MAX_ROLE_LENGTH) {
      const known = KNOWN_ROLES.join(', ');
      refuse(`messages[${index}].role`, `must be one of ${known}, or another short name`);
    }
    const { content = null } = message;
    if (content !== null && typeof content !== 'string' && !Array.isArray(content)) {
      refuse(`messages[${index}].content`, 'must be a text, or a list of parts with text');
    }
  }
}
