import { Type } from 'typebox';
import type { AppContext } from '../app-context.js';
import { checkCommonFields, outputBudget, planRequests } from '../generation/plan.js';
import { type AnswerFormat, answer, newId, newRecord } from '../generation/run.js';
import { encodeMessages, MessagesSchema } from './chat-messages.js';
import { COMMON_FIELDS, Nullable } from './request-fields.js';
import type { TypedApp } from './typed-app.js';

const ChatSchema = Type.Object({
  ...COMMON_FIELDS,
  messages: MessagesSchema,
  max_completion_tokens: Nullable(Type.Integer({ minimum: 1 })),
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
      const tokenIds = encodeMessages(body.messages, context.model);
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
      return answer(context, request, reply, {
        requests: planRequests(id, [{ tokenIds, maxTokens }], body, context),
        format: chatFormat({ id, created, model }, n),
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
): AnswerFormat {
  return {
    head: { object: 'chat.completion.chunk', ...shared },
    opening: () =>
      Array.from({ length: n }, (_, index) =>
        chunk(index, { role: 'assistant', content: '' }, null),
      ),
    chunks: ({ index, text, finishReason }) => [
      ...(text === '' ? [] : [chunk(index, { content: text }, null)]),
      ...(finishReason === null ? [] : [chunk(index, {}, finishReason)]),
    ],
    whole: (choices, usage) => ({
      object: 'chat.completion',
      ...shared,
      choices: choices.map(({ text, finishReason }, index) => ({
        index,
        message: { role: 'assistant', content: text, refusal: null },
        logprobs: null,
        finish_reason: finishReason,
      })),
      usage,
    }),
  };
}
