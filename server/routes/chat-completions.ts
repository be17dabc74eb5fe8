import { Type } from 'typebox';
import type { AppContext } from '../app-context.js';
import { checkCommonFields, outputBudget, planRequests } from '../generation/plan.js';
import { type AnswerFormat, answer, newId, newRecord } from '../generation/run.js';
import { planTools } from '../tools/tool-plan.js';
import {
  MessageDeltas,
  type ToolCallWords,
  toolCallWords,
  wholeMessage,
} from './assistant-message.js';
import { encodeMessages, MessagesSchema } from './chat-messages.js';
import { COMMON_FIELDS, Nullable } from './request-fields.js';
import { TEMPLATE_FIELDS, templateVariables } from './template-variables.js';
import { TOOL_FIELDS } from './tool-fields.js';
import type { TypedApp } from './typed-app.js';

const ChatSchema = Type.Object({
  ...COMMON_FIELDS,
  messages: MessagesSchema,
  max_completion_tokens: Nullable(Type.Integer({ minimum: 1 })),
  ...TOOL_FIELDS,
  ...TEMPLATE_FIELDS,
});

export function addChatRoute(app: TypedApp, context: AppContext): void {
  app.post(
    '/v1/chat/completions',
    {
      schema: { body: ChatSchema },
      onRequest: async () => context.inFlight.assertAdmitting(),
    },
    async (request, reply) => {
      const { body } = request;
      checkCommonFields(body, context);
      const { model: served, messageForms } = context;
      const tools = planTools(body, served.chatTemplate, messageForms.tools);
      const { text, tokenIds } = encodeMessages(body.messages, served, {
        tools: tools?.shown ?? null,
        variables: templateVariables(body, served.chatTemplate),
      });
      const maxTokens = outputBudget({
        promptTokens: tokenIds.length,
        asked: body.max_completion_tokens ?? body.max_tokens ?? null,
        standard: context.engine.info.maxModelLength,
        context: context.engine.info.maxModelLength,
        param: 'messages',
      });
      const id = newId('chatcmpl');
      const model = body.model ?? context.model.names[0];
      const n = body.n ?? 1;
      const created = context.clock.unixSeconds();
      const [planned] = planRequests(id, [{ tokenIds, maxTokens }], body, context);
      return answer(context, request, reply, {
        requests: [{ ...planned, message: messageForms.of(text, tools) }],
        format: chatFormat({ id, created, model }, n, toolCallWords(tools)),
        stream: body.stream === true,
        includeUsage: body.stream_options?.include_usage === true,
        record: newRecord(id, model),
      });
    },
  );
}

const chunk = (index: number, delta: object, finishReason: string | null): object[] => [
  { index, delta, logprobs: null, finish_reason: finishReason },
];

function chatFormat(
  shared: { id: string; created: number; model: string },
  n: number,
  words: ToolCallWords,
): AnswerFormat {
  const deltas = Array.from({ length: n }, () => new MessageDeltas(words));
  return {
    head: { object: 'chat.completion.chunk', ...shared },
    opening: () =>
      Array.from({ length: n }, (_, index) =>
        chunk(index, { role: 'assistant', content: '' }, null),
      ),
    chunks: ({ index, events, finishReason }) => [
      ...deltas[index].of(events).map((delta) => chunk(index, delta, null)),
      ...(finishReason === null
        ? []
        : [chunk(index, {}, deltas[index].finishReason(finishReason))]),
    ],
    whole: (choices, usage) => ({
      object: 'chat.completion',
      ...shared,
      choices: choices.map((choice, index) => {
        const { message, finishReason } = wholeMessage(choice.events, choice.finishReason, words);
        return { index, message, logprobs: null, finish_reason: finishReason };
      }),
      usage,
    }),
  };
}
