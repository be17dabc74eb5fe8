import { type Static, Type } from 'typebox';
import { OctavoError } from '../../engine/errors.js';
import type { TokenId } from '../../scheduler/ids.js';
import type { AppContext } from '../app-context.js';
import { checkCommonFields, outputBudget, planRequests } from '../generation/plan.js';
import { type AnswerFormat, answer, newId, newRecord } from '../generation/run.js';
import { COMMON_FIELDS, Nullable } from './request-fields.js';
import type { TypedApp } from './typed-app.js';

/** OpenAI's. */
const STANDARD_MAX_TOKENS = 16;

const TokenIds = Type.Array(Type.Integer({ minimum: 0 }), { minItems: 1 });

const PromptSchema = Type.Union([
  Type.String(),
  Type.Array(Type.String(), { minItems: 1, maxItems: 2048 }),
  TokenIds,
  Type.Array(TokenIds, { minItems: 1, maxItems: 2048 }),
]);

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
      const prompts = encodePrompts(body.prompt, context).map((tokenIds) => ({
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

/** @throws OctavoError `invalid_request` for an id outside the vocabulary */
function encodePrompts(prompt: Static<typeof PromptSchema>, context: AppContext): TokenId[][] {
  const { tokenizer } = context.model;
  if (typeof prompt === 'string') return [tokenizer.encode(prompt, { addSpecialTokens: true })];
  const [first] = prompt;
  if (typeof first === 'number') return [checkIds(prompt as number[], context, 'prompt')];
  return (prompt as (string | number[])[]).map((part, index) =>
    typeof part === 'string'
      ? tokenizer.encode(part, { addSpecialTokens: true })
      : checkIds(part, context, `prompt[${index}]`),
  );
}

function checkIds(ids: readonly number[], context: AppContext, param: string): TokenId[] {
  const { vocabSize } = context.engine.info;
  const alien = ids.find((id) => id >= vocabSize);
  if (alien !== undefined) {
    const message = `${param}: ${alien} is not in the vocabulary of ${vocabSize} tokens`;
    throw new OctavoError('invalid_request', message, { param });
  }
  return ids as TokenId[];
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
