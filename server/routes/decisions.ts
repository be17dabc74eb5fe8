import { askQuestions } from '../decisions/ask-questions.js';
import {
  answerOf,
  DecisionSchema,
  messagesOf,
  questionsOf,
} from '../decisions/openai-decisions.js';
import {
  contentText,
  SystemOneSchema,
  systemOneAnswer,
  systemOneQuestions,
} from '../decisions/system-one.js';
import type { RequestHost } from '../generation/run-in-flight.js';
import { refuseEarly } from '../limits/refuse-early.js';
import { newId } from '../openai/answer.js';
import { refuseUnsupported } from '../openai/fields/unsupported-fields.js';
import type { Models } from '../pool/models.js';
import { newRecord } from '../request-record.js';
import type { TypedApp } from './typed-app.js';

/** Closed questions about one input, answered by probabilities: OpenAI's form and TypeSafe's. */
export function addDecisionRoutes(app: TypedApp, models: Models, host: RequestHost): void {
  const onRequest = refuseEarly({ inFlight: host.inFlight, admission: models });

  app.post(
    '/v1/decisions',
    { schema: { body: DecisionSchema }, onRequest },
    async (request, reply) => {
      const { body } = request;
      const service = await models.useGenerator(body.model, reply);
      refuseUnsupported(body, DecisionSchema);
      const record = newRecord(newId('decision'), body.model ?? service.name);
      const shares = await askQuestions(host, service, request, reply, {
        messages: messagesOf(body.input),
        questions: questionsOf(body.questions),
        priority: body.priority ?? 0,
        // OpenAI's key divides the cache as a salt does.
        cacheSalt: body.cache_salt ?? body.prompt_cache_key ?? null,
        user: body,
        record,
      });
      return {
        model: record.model,
        answers: body.questions.map((question, index) => answerOf(question, shares[index])),
        usage: {
          input_tokens: record.promptTokens,
          input_tokens_details: { cached_tokens: record.cachedTokens, cache_write_tokens: 0 },
          output_tokens: 0,
          output_tokens_details: { reasoning_tokens: 0 },
          total_tokens: record.promptTokens,
        },
      };
    },
  );

  app.post(
    '/v1/systemone',
    { schema: { body: SystemOneSchema }, onRequest },
    async (request, reply) => {
      const { body } = request;
      const service = await models.useGenerator(body.model, reply);
      refuseUnsupported(body, SystemOneSchema);
      const record = newRecord(newId('systemone'), body.model ?? service.name);
      const shares = await askQuestions(host, service, request, reply, {
        messages: [{ role: 'user', content: contentText(body.state) }],
        questions: systemOneQuestions(body.questions),
        priority: body.priority ?? 0,
        cacheSalt: body.cache_salt ?? null,
        user: {},
        record,
      });
      const answers = Object.entries(body.questions).map(
        ([name, question], index) => [name, systemOneAnswer(question, shares[index])] as const,
      );
      return {
        model: record.model,
        answers: Object.fromEntries(answers),
        usage: { input_tokens: record.promptTokens, output_tokens: 0 },
      };
    },
  );
}
