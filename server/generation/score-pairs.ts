import type { FastifyReply, FastifyRequest } from 'fastify';
import { OctavoError } from '../../engine/errors.js';
import type { Asker } from '../../engine/job-pool/job-pool.js';
import { whileConnected } from '../http/in-flight.js';
import { costOf } from '../limits/cost.js';
import type { ModelService } from '../models.js';
import type { GenerationRecord } from '../request-record.js';
import { type ReadPrompt, readPrompts } from './embed.js';
import { assertEmbeds, embeddingTokens, poolingOf } from './embedding-texts.js';
import { type RequestHost, runInFlight, type UserFields } from './run-in-flight.js';
import { type PairTexts, pairPrompts } from './text-pairs.js';
import { judgePrompts, yesShare } from './yes-or-no.js';

export interface ScoreOptions extends PairTexts {
  /** Whether a cross-encoder's logit becomes a score, as the model has it; else it is the score. */
  readonly activates: boolean;
  /** What a decoder judges by. */
  readonly instruction: string;
  readonly priority: number;
  readonly user: UserFields;
  readonly record: GenerationRecord;
}

/**
 * Scores pairs of texts by what the model was made for: a cross-encoder reads both at once; of a
 * model of embeddings, both vectors are compared; a decoder is asked yes or no.
 *
 * @returns in the order of the pairs
 * @throws OctavoError `task_unsupported` for a model that does none of this, and as the ways do
 */
export async function scorePairs(
  host: RequestHost,
  service: ModelService,
  request: FastifyRequest,
  reply: FastifyReply,
  options: ScoreOptions,
): Promise<number[]> {
  const client = host.clientOf(request);
  const way = wayOf(service, options);
  const prompts = await whileConnected(reply, (signal) => way.prompts({ client, signal }));
  const { record, priority, user } = options;
  const outputs = await runInFlight(
    host,
    service,
    request,
    reply,
    record,
    costOf(prompts),
    (running) =>
      readPrompts(
        host,
        service,
        {
          id: record.id,
          prompts,
          priority,
          cacheSalt: null,
          tenant: host.shareOf(request, user).tenant,
          arrivedAt: request.arrivedAt,
          record,
        },
        running,
      ),
  );
  return way.scores(outputs);
}

/** A way to score pairs: what is computed, and what is made of it. */
interface Way {
  prompts(asker: Asker): Promise<readonly ReadPrompt[]>;
  scores(outputs: readonly Read[]): number[];
}

interface Read {
  readonly embedding?: Float32Array;
  readonly labelLogprobs?: readonly number[];
}

function wayOf(service: ModelService, options: ScoreOptions): Way {
  const { encoder } = service.engine.info;
  if (encoder?.task === 'score') return crossEncoder(service, options);
  if (encoder || service.model.isEmbedder === true) return cosines(service, options);
  return {
    prompts: (asker) => judgePrompts(options, options.instruction, service, asker),
    scores: (outputs) => outputs.map(({ labelLogprobs = [] }) => yesShare(labelLogprobs)),
  };
}

function crossEncoder(service: ModelService, options: ScoreOptions): Way {
  const { hiddenSize, encoder } = service.engine.info;
  if (hiddenSize !== 1) {
    const message = `the model '${service.name}' gives ${hiddenSize} scores of a pair; a reranker gives one`;
    throw new OctavoError('task_unsupported', message, { param: 'model' });
  }
  const isSigmoid = options.activates && encoder?.activation === 'sigmoid';
  return {
    prompts: (asker) => pairPrompts(options, service, asker),
    scores: (outputs) =>
      outputs.map(({ embedding }) => {
        const logit = embedding?.[0] ?? Number.NaN;
        return isSigmoid ? 1 / (1 + Math.exp(-logit)) : logit;
      }),
  };
}

/** Each text is embedded once, however many pairs it is in. */
function cosines(service: ModelService, options: ScoreOptions): Way {
  const { firsts, seconds, pairs, param, cutTo } = options;
  assertEmbeds(service);
  return {
    prompts: async (asker) => {
      const encoding = { param, addSpecialTokens: true, prompt: '', cutTo };
      const tokens = await embeddingTokens([...firsts, ...seconds], service, encoding, asker);
      const pooling = poolingOf(service);
      return tokens.map((promptTokenIds) => ({ promptTokenIds, pooling }));
    },
    scores: (outputs) => {
      const vectors = outputs.map(({ embedding }) => embedding ?? new Float32Array());
      return pairs.map(([a, b]) => cosine(vectors[a], vectors[firsts.length + b]));
    },
  };
}

function cosine(a: Float32Array, b: Float32Array): number {
  let [product, left, right] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    product += a[i] * b[i];
    left += a[i] * a[i];
    right += b[i] * b[i];
  }
  return left === 0 || right === 0 ? 0 : product / Math.sqrt(left * right);
}
