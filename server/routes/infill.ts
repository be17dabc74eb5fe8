import { type Static, Type } from 'typebox';
import { outputBudget } from '../../engine/generation/output-budget.js';
import type { Asker } from '../../engine/job-pool/job-pool.js';
import type { TokenId } from '../../scheduler/ids.js';
import type { FinishReason } from '../../scheduler/step-plan.js';
import { pauseUnread, runRequests } from '../generation/run.js';
import { type RequestHost, runInFlight, streamFailure } from '../generation/run-in-flight.js';
import { errorBody } from '../http/errors.js';
import { whileConnected } from '../http/in-flight.js';
import { SseStream } from '../http/sse.js';
import { costOf } from '../limits/cost.js';
import { refuseEarly } from '../limits/refuse-early.js';
import type { ModelService } from '../models.js';
import { newId } from '../openai/answer.js';
import { fillInMiddle } from '../openai/completions/fill-in-middle.js';
import { encodePrompts } from '../openai/fields/prompt-input.js';
import { COMMON_FIELDS, Nullable } from '../openai/fields/request-fields.js';
import { planRequests } from '../openai/plan.js';
import type { Models } from '../pool/models.js';
import { type GenerationRecord, newRecord } from '../request-record.js';
import type { TypedApp } from './typed-app.js';

const { temperature, top_p, top_k, min_p, typical_p, presence_penalty, frequency_penalty } =
  COMMON_FIELDS;

/** llama.cpp's fields. */
const InfillSchema = Type.Object({
  model: COMMON_FIELDS.model,
  input_prefix: Nullable(Type.String()),
  input_suffix: Nullable(Type.String()),
  /** Other files, which come before. */
  input_extra: Nullable(
    Type.Array(Type.Object({ filename: Type.Optional(Type.String()), text: Type.String() }), {
      maxItems: 256,
    }),
  ),
  /** The beginning of what fills the gap. */
  prompt: Nullable(Type.String()),
  /** -1: as many as the context holds; 0: the prompt is cached for later requests. */
  n_predict: Nullable(Type.Integer({ minimum: -1 })),
  stop: COMMON_FIELDS.stop,
  stream: COMMON_FIELDS.stream,
  /** -1: any. */
  seed: Nullable(Type.Integer({ minimum: -1, maximum: 2 ** 32 - 1 })),
  repeat_penalty: COMMON_FIELDS.repetition_penalty,
  temperature,
  top_p,
  top_k,
  min_p,
  typical_p,
  presence_penalty,
  frequency_penalty,
});

type InfillBody = Static<typeof InfillSchema>;

/** `/infill`, as llama.cpp's server has it: what editors fill gaps with. */
export function addInfillRoute(app: TypedApp, models: Models, host: RequestHost): void {
  app.post(
    '/infill',
    {
      schema: { body: InfillSchema },
      onRequest: refuseEarly({ inFlight: host.inFlight, admission: models }),
    },
    async (request, reply) => {
      const { body } = request;
      const service = await models.useGenerator(body.model, reply);
      const client = host.clientOf(request);
      const gap = await whileConnected(reply, (signal) =>
        promptOf(body, service, { client, signal }),
      );
      const context = service.engine.info.maxModelLength;
      const asked = body.n_predict === -1 ? null : (body.n_predict ?? null);
      const maxTokens = outputBudget({
        promptTokens: gap.tokenIds.length,
        asked,
        standard: context,
        context,
        param: 'input_prefix',
      });
      const record = newRecord(newId('infill'), body.model ?? service.name);
      record.stream = body.stream === true;
      const { repeat_penalty, seed, ...common } = body;
      const fields = {
        ...common,
        repetition_penalty: repeat_penalty ?? null,
        seed: seed === -1 ? null : (seed ?? null),
        stop_token_ids: [...gap.stops],
      };
      const requests = planRequests(
        record.id,
        [{ tokenIds: gap.tokenIds, maxTokens }],
        fields,
        service,
        host.randomSeed,
        { n: 1, continuesPrompt: true, ...host.shareOf(request, {}), route: 'completions' },
      );
      const cost = costOf(requests.map(({ engine }) => engine));
      return runInFlight(host, service, request, reply, record, cost, async (running) => {
        if (body.stream === true) pauseUnread(service, requests, running);
        const outputs = runRequests(host, service, requests, request.arrivedAt, running, record);
        let text = '';
        let last: object = {};
        const sse = body.stream === true ? new SseStream(reply, host.clock, running) : null;
        try {
          for await (const { text: more, finishReason, stopReason } of outputs) {
            text += more;
            if (finishReason !== null) last = endOf(finishReason, stopReason, record);
            else if (more !== '') await sse?.send({ index: 0, content: more, stop: false });
            if (finishReason !== null) await sse?.send({ index: 0, content: more, ...last });
          }
        } catch (error) {
          if (sse === null) throw error;
          sse.fail(errorBody(streamFailure(host.logger, reply, record, error)));
          return undefined;
        }
        sse?.end();
        return sse === null ? { index: 0, content: text, ...last } : undefined;
      });
    },
  );
}

/** What the last event says, besides its text. */
function endOf(
  reason: FinishReason,
  stopReason: string | TokenId | null,
  record: GenerationRecord,
): object {
  const word = typeof stopReason === 'string' ? stopReason : '';
  const ended = word === '' ? 'eos' : 'word';
  return {
    stop: true,
    model: record.model,
    tokens_predicted: record.completionTokens,
    tokens_evaluated: record.promptTokens,
    tokens_cached: record.cachedTokens,
    truncated: false,
    stop_type: reason === 'length' ? 'limit' : ended,
    stopping_word: word,
  };
}

/**
 * The gap's prompt, with the other files before it: by the tokens for files of a repository, where
 * the model has them, as Qwen2.5-Coder's report describes it; else as plain text.
 *
 * @throws OctavoError `invalid_request` for a model that cannot fill gaps,
 *   `context_length_exceeded`
 */
async function promptOf(
  body: InfillBody,
  service: ModelService,
  asker: Asker,
): Promise<{ readonly tokenIds: TokenId[]; readonly stops: readonly TokenId[] }> {
  const gap = fillInMiddle(service.model.tokenizer, 'input_prefix');
  const { files, stops } = gap;
  const encode = async (text: string, param: string): Promise<TokenId[]> => {
    if (text === '') return [];
    const [ids] = await encodePrompts(text, service, { param, addSpecialTokens: false }, asker);
    return ids;
  };
  const before: TokenId[] = [];
  const extra = body.input_extra ?? [];
  if (extra.length > 0 && files) {
    before.push(files.repository, ...(await encode('myproject\n', 'input_extra')));
  }
  for (const { filename = 'tmp', text } of extra) {
    const shown = files ? `${filename}\n${text}` : `${text}\n`;
    before.push(...(files ? [files.file] : []), ...(await encode(shown, 'input_extra')));
  }
  if (extra.length > 0 && files) {
    before.push(files.file, ...(await encode('filename\n', 'input_extra')));
  }
  const prefix = await encode(body.input_prefix ?? '', 'input_prefix');
  const suffix = await encode(body.input_suffix ?? '', 'input_suffix');
  const beginning = await encode(body.prompt ?? '', 'prompt');
  return { tokenIds: [...before, ...gap.promptOf(prefix, suffix), ...beginning], stops };
}
