import { type Static, Type } from 'typebox';
import type { TokenId } from '../../scheduler/ids.js';
import type { AppContext } from '../app-context.js';
import { checkCommonFields, outputBudget, planRequests } from '../generation/plan.js';
import { type AnswerFormat, answer, newId, newRecord } from '../generation/run.js';
import { encodePrompts, PromptSchema } from './prompt-input.js';
import { COMMON_FIELDS, Nullable } from './request-fields.js';
import type { TypedApp } from './typed-app.js';

/** OpenAI's. */
const STANDARD_MAX_TOKENS = 16;

const CompletionSchema = Type.Object({
  ...COMMON_FIELDS,
  prompt: PromptSchema,
  echo: Nullable(Type.Boolean()),
});

export function addCompletionsRoute(app: TypedApp, context: AppContext): void {
  app.post(
    '/v1/completions',
    {
      schema: { body: CompletionSchema },
      onRequest: async () => context.inFlight.assertAdmitting(),
    },
    async (request, reply) => {
      const { body } = request;
      checkCommonFields(body, context);
      const { maxModelLength } = context.engine.info;
      const prompts = encodePrompts(body.prompt, context, { param: 'prompt' }).map((tokenIds) => ({
        tokenIds,
        maxTokens: outputBudget({
          promptTokens: tokenIds.length,
          asked: body.max_tokens ?? null,
          standard: STANDARD_MAX_TOKENS,
          context: maxModelLength,
          param: 'prompt',
        }),
      }));
      const id = newId('cmpl');
      const model = body.model ?? context.model.names[0];
      const requests = planRequests(id, prompts, body, context);
      const echoes = requests.flatMap(({ ids, promptTokenIds }, index) => {
        const echo = body.echo === true ? echoOf(body.prompt, index, promptTokenIds, context) : '';
        return ids.map(() => echo);
      });
      const created = context.clock.unixSeconds();
      return answer(context, request, reply, {
        requests,
        format: completionFormat({ id, object: 'text_completion', created, model }, echoes),
        stream: body.stream === true,
        includeUsage: body.stream_options?.include_usage === true,
        record: newRecord(id, model),
      });
    },
  );
}

/** A prompt is echoed as it was sent; decoding is only for prompts that came as ids. */
function echoOf(
  prompt: Static<typeof PromptSchema>,
  index: number,
  ids: readonly TokenId[],
  context: AppContext,
): string {
  const sent = typeof prompt === 'string' ? prompt : prompt[index];
  if (typeof sent === 'string') return sent;
  return context.model.tokenizer.decode(ids, { skipSpecialTokens: false });
}

const choice = (index: number, text: string, finishReason: string | null): object => ({
  index,
  text,
  logprobs: null,
  finish_reason: finishReason,
});

function completionFormat(head: object, echoes: readonly string[]): AnswerFormat {
  return {
    head,
    opening: () =>
      echoes.flatMap((echo, index) => (echo === '' ? [] : [[choice(index, echo, null)]])),
    chunks: ({ index, text, finishReason }) =>
      text === '' && finishReason === null ? [] : [[choice(index, text, finishReason)]],
    whole: (choices, usage) => ({
      ...head,
      choices: choices.map(({ text, finishReason }, index) =>
        choice(index, `${echoes[index]}${text}`, finishReason),
      ),
      usage,
    }),
  };
}
