import { type Static, Type } from 'typebox';
import { OctavoError } from '../../engine/errors.js';
import { outputBudget } from '../../engine/generation/output-budget.js';
import type { RequestHost } from '../generation/run-in-flight.js';
import { whileConnected } from '../http/in-flight.js';
import { refuseEarly } from '../limits/refuse-early.js';
import { answer, newId } from '../openai/answer.js';
import { completionFormat } from '../openai/completions/completion-format.js';
import { echoOf, NO_ECHO } from '../openai/completions/echo.js';
import { fillInMiddle } from '../openai/completions/fill-in-middle.js';
import { BEAM_FIELDS, beamsOf } from '../openai/fields/beam-fields.js';
import {
  LOGPROB_TOKEN_FIELDS,
  type ShownLogprobs,
  shownLogprobs,
} from '../openai/fields/logprob-token-ids.js';
import {
  CUT_FIELDS,
  encodePrompts,
  PromptSchema,
  truncated,
} from '../openai/fields/prompt-input.js';
import { COMMON_FIELDS, Count, Nullable } from '../openai/fields/request-fields.js';
import { grammarOf } from '../openai/fields/structured-output.js';
import { LogprobWriter } from '../openai/logprobs.js';
import { checkCommonFields, type EngineFields, planRequests } from '../openai/plan.js';
import type { Models } from '../pool/models.js';
import { newRecord } from '../request-record.js';
import type { TypedApp } from './typed-app.js';

/** OpenAI's. */
const STANDARD_MAX_TOKENS = 16;

export const CompletionSchema = Type.Object({
  ...COMMON_FIELDS,
  prompt: PromptSchema,
  ...CUT_FIELDS,
  /** The text after the gap that is to be filled. */
  suffix: Nullable(Type.String()),
  echo: Nullable(Type.Boolean()),
  ...BEAM_FIELDS,
  /** So many of the likeliest tokens at each place. */
  logprobs: Nullable(Type.Integer({ minimum: 0, maximum: 20 })),
  ...LOGPROB_TOKEN_FIELDS,
  /** 0 with `echo`: only the prompt is wanted. */
  max_tokens: Nullable(Count(0)),
  add_special_tokens: Nullable(Type.Boolean()),
  /** vLLM's: the answer shows the tokens of prompt and output as ids, too. */
  return_token_ids: Nullable(Type.Boolean()),
});

type CompletionBody = Static<typeof CompletionSchema>;

export function addCompletionsRoute(app: TypedApp, models: Models, host: RequestHost): void {
  app.post(
    '/v1/completions',
    {
      schema: { body: CompletionSchema },
      onRequest: refuseEarly({ inFlight: host.inFlight, admission: models }),
    },
    async (request, reply) => {
      const { body } = request;
      const service = await models.useGenerator(body.model, reply);
      const { engine } = service;
      checkCommonFields(body, engine.info.vocabSize, CompletionSchema);
      checkCompletionFields(body);
      const { vocabSize } = engine.info;
      const scores = shownLogprobs(body, body.logprobs ?? null, vocabSize, 'logprobs');
      const { tokenizer } = service.model;
      const encoding = {
        param: 'prompt',
        addSpecialTokens: body.add_special_tokens !== false && !body.suffix,
        isCut: isNumber(body.truncate_prompt_tokens),
      };
      const client = host.clientOf(request);
      const gap = body.suffix ? fillInMiddle(tokenizer, 'suffix') : null;
      const encoded = await whileConnected(reply, async (signal) => {
        const asker = { client, signal };
        const all = await encodePrompts(body.prompt, service, encoding, asker);
        const kept = all.map((ids) =>
          truncated(ids, body.truncate_prompt_tokens, engine.info.maxModelLength),
        );
        if (gap === null || !body.suffix) return kept;
        const after = { param: 'suffix', addSpecialTokens: false };
        const [suffix] = await encodePrompts(body.suffix, service, after, asker);
        return kept.map((ids) => gap.promptOf(ids, suffix));
      });
      const prompts = encoded.map((tokenIds) => ({
        tokenIds,
        maxTokens: outputBudget({
          promptTokens: tokenIds.length,
          asked: body.max_completion_tokens ?? body.max_tokens ?? null,
          standard: STANDARD_MAX_TOKENS,
          context: engine.info.maxModelLength,
          param: 'prompt',
        }),
      }));
      const id = newId('cmpl');
      const model = body.model ?? service.name;
      const created = host.clock.unixSeconds();
      const grammar = grammarOf(body, service.settings);
      const stops = [...(body.stop_token_ids ?? []), ...(gap?.stops ?? [])];
      const wanted = gap === null ? body : { ...body, stop_token_ids: stops };
      const requests = planRequests(id, prompts, wanted, service, host.randomSeed, {
        ...engineFields(body, scores),
        ...beamsOf(body, body.n ?? 1, grammar?.spec ?? null),
        grammar: grammar?.spec ?? null,
        ...host.shareOf(request, body),
        route: 'completions',
      });
      return answer(host, service, request, reply, {
        requests,
        checks: grammar ? [{ ...grammar, suspects: [] }] : [],
        format: completionFormat({
          head: {
            id,
            object: 'text_completion',
            created,
            model,
            system_fingerprint: service.fingerprint,
          },
          echoes: prompts.map(({ tokenIds }, index) =>
            body.echo === true ? echoOf(body.prompt, index, tokenIds, tokenizer) : NO_ECHO,
          ),
          prompts: encoded,
          n: body.n ?? 1,
          bestOf: candidates(body),
          logprobs: body.logprobs ?? null,
          shownLogprobs: scores.shown,
          promptLogprobs: body.prompt_logprobs ?? null,
          showIds: body.return_token_ids === true,
          tokenizer,
          writer: new LogprobWriter(tokenizer, { asIds: body.return_tokens_as_token_ids === true }),
        }),
        stream: body.stream === true,
        streamOptions: body.stream_options ?? null,
        record: newRecord(id, model),
      });
    },
  );
}

const isNumber = (value: number | null | undefined): boolean => typeof value === 'number';

/** @throws OctavoError `invalid_request` for fields that do not go together */
function checkCompletionFields(body: CompletionBody): void {
  const { max_tokens, max_completion_tokens, echo } = body;
  const fail = (param: string, message: string): never => {
    throw new OctavoError('invalid_request', message, { param });
  };
  if ((max_completion_tokens ?? max_tokens) === 0) {
    if (echo !== true) fail('max_tokens', 'max_tokens must be >= 1, unless echo is true');
    if (body.logprob_token_ids?.length) {
      fail('logprob_token_ids', 'logprob_token_ids needs an output: max_tokens must be >= 1');
    }
  }
  if (body.suffix && echo === true) fail('echo', 'echo is not possible with suffix');
  const n = body.n ?? 1;
  const bestOf = candidates(body);
  if (bestOf < n) fail('best_of', `best_of is ${bestOf}: it must be at least n, which is ${n}`);
  if (bestOf > n && body.stream === true) {
    fail('best_of', 'best_of above n is not possible with stream: true');
  }
}

/** Sequences that are generated for each prompt; a beam search has its candidates for itself. */
function candidates(body: CompletionBody): number {
  if (body.use_beam_search === true) return body.n ?? 1;
  return body.best_of ?? body.n ?? 1;
}

function engineFields(body: CompletionBody, { asked: scores }: ShownLogprobs): EngineFields {
  const asked = body.logprobs ?? null;
  const promptCounts = [body.prompt_logprobs, body.echo === true ? asked : null];
  const promptLogprobs = Math.max(...promptCounts.map((count) => count ?? -1));
  const n = candidates(body);
  return {
    n,
    continuesPrompt: true,
    ...scores,
    // Candidates are compared by them.
    logprobs: scores.logprobs ?? (n > (body.n ?? 1) ? 0 : null),
    promptLogprobs: promptLogprobs < 0 ? null : promptLogprobs,
  };
}
