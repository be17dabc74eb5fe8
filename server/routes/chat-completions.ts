import { type Static, Type } from 'typebox';
import { OctavoError } from '../../engine/errors.js';
import { outputBudget } from '../../engine/generation/output-budget.js';
import { assertFewEnough } from '../../engine/text/assert-may-fit.js';
import { planTools } from '../../engine/tools/tool-plan.js';
import { placeImages } from '../../engine/vision/place-images.js';
import type { RequestHost } from '../generation/run-in-flight.js';
import { whileConnected } from '../http/in-flight.js';
import { refuseEarly } from '../limits/refuse-early.js';
import { answer, newId } from '../openai/answer.js';
import { toolCallStyle } from '../openai/chat/assistant-message.js';
import { chatFormat } from '../openai/chat/chat-format.js';
import { encodeFitting, planChat } from '../openai/chat/chat-prompt.js';
import { BEAM_FIELDS, beamsOf, refuseBestOf } from '../openai/fields/beam-fields.js';
import { LOGPROB_TOKEN_FIELDS, shownLogprobs } from '../openai/fields/logprob-token-ids.js';
import { MessagesSchema } from '../openai/fields/message-schema.js';
import { PREDICTION_FIELDS, predictedTokens } from '../openai/fields/prediction.js';
import { CUT_FIELDS, truncated } from '../openai/fields/prompt-input.js';
import { COMMON_FIELDS, Nullable } from '../openai/fields/request-fields.js';
import { grammarOf, isCompact } from '../openai/fields/structured-output.js';
import {
  ENDING_OF_PROMPT,
  endingOf,
  OWN_TEMPLATE,
  TEMPLATE_FIELDS,
  templateOf,
  templateVariables,
} from '../openai/fields/template-fields.js';
import { THINKING_FIELDS, thinkingLimit } from '../openai/fields/thinking-budget.js';
import {
  FUNCTION_FIELDS,
  TOOL_FIELDS,
  toolFieldsOf,
  usesFunctions,
  withOlderNames,
} from '../openai/fields/tool-fields.js';
import { LogprobWriter } from '../openai/logprobs.js';
import { checkCommonFields, planRequests } from '../openai/plan.js';
import type { Models } from '../pool/models.js';
import { NOTHING_PREDICTED, newRecord } from '../request-record.js';
import type { TypedApp } from './typed-app.js';

export const ChatSchema = Type.Object({
  ...COMMON_FIELDS,
  messages: MessagesSchema,
  logprobs: Nullable(Type.Boolean()),
  /** So many of the likeliest tokens at each place. */
  top_logprobs: Nullable(Type.Integer({ minimum: 0, maximum: 20 })),
  ...LOGPROB_TOKEN_FIELDS,
  ...TOOL_FIELDS,
  ...FUNCTION_FIELDS,
  ...TEMPLATE_FIELDS,
  ...OWN_TEMPLATE,
  ...ENDING_OF_PROMPT,
  ...CUT_FIELDS,
  ...PREDICTION_FIELDS,
  ...BEAM_FIELDS,
  ...THINKING_FIELDS,
  /** vLLM's: the answer shows the tokens of prompt and output as ids, too. */
  return_token_ids: Nullable(Type.Boolean()),
});

export function addChatRoute(app: TypedApp, models: Models, host: RequestHost): void {
  app.post(
    '/v1/chat/completions',
    {
      schema: { body: ChatSchema },
      onRequest: refuseEarly({ inFlight: host.inFlight, admission: models }),
    },
    async (request, reply) => {
      const { body } = request;
      const service = await models.useGenerator(body.model, reply);
      const { model: served, engine, forms } = service;
      checkCommonFields(body, engine.info.vocabSize, ChatSchema);
      refuseBestOf(body);
      const { maxModelLength, vocabSize } = engine.info;
      const scores = shownLogprobs(body, wantedLogprobs(body), vocabSize, 'logprobs: true');
      assertFewEnough(body.messages.length, maxModelLength, 'messages');
      const template = templateOf(body, served.chatTemplate, service.settings);
      const toolFields = toolFieldsOf(body);
      const tools = withOlderNames(body, () =>
        planTools(toolFields, template.facts, forms.tools, isCompact(body, service.settings)),
      );
      const options = {
        ...endingOf(body),
        tools,
        template: template.own,
        variables: templateVariables(body, template.facts),
        answer: grammarOf(body, service.settings),
      };
      const client = host.clientOf(request);
      const plan = await whileConnected(reply, async (signal) => {
        const asker = { client, signal };
        const planned = await planChat(body.messages, service, options, asker);
        const count = body.truncate_prompt_tokens ?? null;
        const encoding = { param: 'messages', isCut: count !== null };
        const all = await encodeFitting(planned.prompt, service, encoding, asker);
        return {
          ...planned,
          tokenIds: truncated(all, count, maxModelLength),
          prediction: await predictedTokens(body, service, asker),
        };
      });
      const { prompt, tokenIds, prediction, message, grammar, checks } = plan;
      const maxTokens = outputBudget({
        promptTokens: tokenIds.length,
        asked: body.max_completion_tokens ?? body.max_tokens ?? null,
        standard: served.defaultMaxTokens ?? maxModelLength,
        context: maxModelLength,
        param: 'messages',
      });
      const thinking = thinkingLimit(
        body.thinking_token_budget,
        prompt.text,
        forms,
        served.tokenizer,
      );
      const images = placeImages(tokenIds, prompt);
      const id = newId('chatcmpl');
      const model = body.model ?? served.names[0];
      const created = host.clock.unixSeconds();
      const promptLogprobs = body.prompt_logprobs ?? null;
      return answer(host, service, request, reply, {
        requests: planRequests(
          id,
          [{ tokenIds, maxTokens, images }],
          body,
          service,
          host.randomSeed,
          {
            ...scores.asked,
            promptLogprobs,
            message,
            grammar,
            ...(prediction && { prediction }),
            ...beamsOf(body, body.n ?? 1, grammar),
            ...(thinking && { thinking }),
            ...host.shareOf(request, body),
            route: 'chat',
            continuesPrompt: body.continue_final_message === true,
          },
        ),
        checks,
        format: chatFormat({
          shared: { id, created, model, system_fingerprint: service.fingerprint },
          n: body.n ?? 1,
          toolCalls: toolCallStyle(tools, usesFunctions(body)),
          logprobs: scores.shown,
          promptLogprobs,
          promptTokenIds: tokenIds,
          showIds: body.return_token_ids === true,
          writer: new LogprobWriter(served.tokenizer, {
            asIds: body.return_tokens_as_token_ids === true,
          }),
        }),
        stream: body.stream === true,
        streamOptions: body.stream_options ?? null,
        record: {
          ...newRecord(id, model),
          ...(prediction && { predicted: NOTHING_PREDICTED }),
        },
      });
    },
  );
}

/**
 * How many of the likeliest tokens are shown at each place; null: no log-probabilities.
 *
 * @throws OctavoError `invalid_request` for `top_logprobs` alone
 */
function wantedLogprobs(body: Static<typeof ChatSchema>): number | null {
  if (body.logprobs === true) return body.top_logprobs ?? 0;
  if (body.top_logprobs) {
    throw new OctavoError('invalid_request', 'top_logprobs is allowed only with logprobs: true', {
      param: 'top_logprobs',
    });
  }
  return null;
}
