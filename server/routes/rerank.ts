import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import { OctavoError } from '../../engine/errors.js';
import type { Asker } from '../../engine/job-pool/job-pool.js';
import { cutTokens } from '../../engine/text/cut-tokens.js';
import { NO_SPANS } from '../../engine/text/spans.js';
import type { RequestHost } from '../generation/run-in-flight.js';
import { type ScoreOptions, scorePairs } from '../generation/score-pairs.js';
import { STANDARD_INSTRUCTION } from '../generation/yes-or-no.js';
import { whileConnected } from '../http/in-flight.js';
import { refuseEarly } from '../limits/refuse-early.js';
import type { ModelService } from '../models.js';
import { newId } from '../openai/answer.js';
import { COMMON_FIELDS, Count, Nullable } from '../openai/fields/request-fields.js';
import { cutTo, TruncateSchema } from '../openai/fields/truncate-field.js';
import { refuseUnsupported } from '../openai/fields/unsupported-fields.js';
import type { Models } from '../pool/models.js';
import { newRecord } from '../request-record.js';
import type { TypedApp } from './typed-app.js';

const { model, user, safety_identifier, priority } = COMMON_FIELDS;

const Text = Type.String({ minLength: 1 });

/** What all ways of scoring take. */
const SCORING_FIELDS = {
  model,
  /** vLLM's: false gives a cross-encoder's logits as they are. */
  use_activation: Nullable(Type.Boolean()),
  /** What a decoder judges by. */
  instruction: Nullable(Text),
  truncate_prompt_tokens: TruncateSchema,
  user,
  safety_identifier,
  priority,
};

export const RerankSchema = Type.Object({
  ...SCORING_FIELDS,
  query: Text,
  documents: Type.Array(Type.Union([Text, Type.Object({ text: Text })]), {
    minItems: 1,
    maxItems: 2048,
  }),
  /** How many of the best are answered; 0: all. */
  top_n: Nullable(Count(0)),
  return_documents: Nullable(Type.Boolean()),
  /** Cohere's: tokens of a document that are read. */
  max_tokens_per_doc: Nullable(Count(1)),
});

const Texts = Type.Union([Text, Type.Array(Text, { minItems: 1, maxItems: 2048 })]);

export const ScoreSchema = Type.Object({
  ...SCORING_FIELDS,
  text_1: Texts,
  text_2: Texts,
});

/** Reranking in the form of Cohere and Jina, and scores in vLLM's. */
export function addRerankRoutes(app: TypedApp, models: Models, host: RequestHost): void {
  const onRequest = refuseEarly({ inFlight: host.inFlight, admission: models });

  const rerank = async (
    { body }: { readonly body: Static<typeof RerankSchema> },
    request: FastifyRequest,
    reply: FastifyReply,
  ) => {
    const service = await models.use(body.model, reply);
    refuseUnsupported(body, RerankSchema);
    const given = body.documents.map((one) => (typeof one === 'string' ? one : one.text));
    const limit = body.max_tokens_per_doc ?? null;
    const client = host.clientOf(request);
    const documents =
      limit === null
        ? given
        : await whileConnected(reply, (signal) =>
            cutDocuments(given, limit, service, { client, signal }),
          );
    const context = service.engine.info.maxModelLength;
    const record = newRecord(newId('rerank'), body.model ?? service.name);
    const scores = await scorePairs(host, service, request, reply, {
      ...optionsOf(body, record),
      firsts: [body.query],
      seconds: documents,
      pairs: documents.map((_, index) => [0, index] as const),
      param: 'documents',
      // As with Cohere and Jina, documents are read as far as the model can.
      cutTo: cutTo(body.truncate_prompt_tokens ?? -1, context),
    });
    const shown = body.return_documents !== false;
    const results = scores
      .map((score, index) => {
        const document = { text: given[index] };
        return shown
          ? { index, document, relevance_score: score }
          : { index, relevance_score: score };
      })
      .sort((x, y) => y.relevance_score - x.relevance_score || x.index - y.index);
    const count = body.top_n ?? 0;
    return {
      id: record.id,
      model: record.model,
      usage: { prompt_tokens: record.promptTokens, total_tokens: record.promptTokens },
      results: count === 0 ? results : results.slice(0, count),
    };
  };
  for (const path of ['/v1/rerank', '/rerank', '/v2/rerank'] as const) {
    app.post(path, { schema: { body: RerankSchema }, onRequest }, (request, reply) =>
      rerank(request, request, reply),
    );
  }

  const score = async (
    { body }: { readonly body: Static<typeof ScoreSchema> },
    request: FastifyRequest,
    reply: FastifyReply,
  ) => {
    const service = await models.use(body.model, reply);
    refuseUnsupported(body, ScoreSchema);
    const firsts = listOf(body.text_1);
    const seconds = listOf(body.text_2);
    const record = newRecord(newId('score'), body.model ?? service.name);
    const context = service.engine.info.maxModelLength;
    const scores = await scorePairs(host, service, request, reply, {
      ...optionsOf(body, record),
      firsts,
      seconds,
      pairs: pairsOf(firsts.length, seconds.length),
      param: 'text_2',
      cutTo: cutTo(body.truncate_prompt_tokens ?? null, context),
    });
    return {
      id: record.id,
      object: 'list',
      created: host.clock.unixSeconds(),
      model: record.model,
      data: scores.map((value, index) => ({ index, object: 'score', score: value })),
      usage: { prompt_tokens: record.promptTokens, total_tokens: record.promptTokens },
    };
  };
  for (const path of ['/v1/score', '/score'] as const) {
    app.post(path, { schema: { body: ScoreSchema }, onRequest }, (request, reply) =>
      score(request, request, reply),
    );
  }
}

type ScoringBody = Pick<
  Static<typeof ScoreSchema>,
  'use_activation' | 'instruction' | 'priority' | 'user' | 'safety_identifier'
>;

const optionsOf = (
  body: ScoringBody,
  record: ScoreOptions['record'],
): Pick<ScoreOptions, 'activates' | 'instruction' | 'priority' | 'user' | 'record'> => ({
  activates: body.use_activation !== false,
  instruction: body.instruction ?? STANDARD_INSTRUCTION,
  priority: body.priority ?? 0,
  user: body,
  record,
});

const listOf = (texts: string | readonly string[]): readonly string[] =>
  typeof texts === 'string' ? [texts] : texts;

/** One text with each of several, or each with the one in its place, as vLLM pairs them. */
function pairsOf(firsts: number, seconds: number): (readonly [number, number])[] {
  if (firsts !== 1 && firsts !== seconds) {
    const message = `text_1 has ${firsts} texts, and text_2 has ${seconds}: text_1 must have 1, or as many`;
    throw new OctavoError('invalid_request', message, { param: 'text_1' });
  }
  return Array.from({ length: seconds }, (_, index) => [firsts === 1 ? 0 : index, index] as const);
}

/** The texts of so many tokens. */
async function cutDocuments(
  documents: readonly string[],
  limit: number,
  { model: { tokenizer }, prompts }: ModelService,
  asker: Asker,
): Promise<string[]> {
  const encoding = { addSpecialTokens: false, param: 'documents' };
  const cut: string[] = [];
  for (const text of documents) {
    const tokens = await prompts.encode({ text, client: NO_SPANS }, encoding, asker);
    const isLong = tokens.length > limit;
    cut.push(
      isLong ? tokenizer.decode(cutTokens(tokens, limit), { skipSpecialTokens: true }) : text,
    );
  }
  return cut;
}
