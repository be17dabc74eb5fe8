import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { assertEngineReady } from '../../engine/client/engine-state.js';
import type { Clock, Timer } from '../../engine/clock.js';
import { OctavoError } from '../../engine/errors.js';
import type { BatchSeats, HeldSeats } from '../batch/batch-seats.js';
import { toOctavoError } from '../http/errors.js';
import { closedBecause, type InFlight } from '../http/in-flight.js';
import type { Cost } from '../limits/cost.js';
import type { OutputAccount, OutputMemory } from '../limits/output-memory.js';
import type { Progress } from '../limits/slot-forecast.js';
import type { ModelService } from '../models.js';
import type { GenerationRecord } from '../request-record.js';

/** Whose requests these are. */
export interface Share {
  /** Who asks, where clients are told apart. */
  readonly client: string;
  /** Whom the scheduling policy `fair` gives a share: the client, or one of its users. */
  readonly tenant: string;
}

/** What the body of a request says of the user for whom the client asks. */
export interface UserFields {
  readonly user?: string | null;
  /** OpenAI's newer name of `user`. */
  readonly safety_identifier?: string | null;
}

/** What all requests at work share, whichever model they ask. */
export interface RequestHost {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly inFlight: InFlight;
  readonly outputMemory: OutputMemory;
  /** Of batches, beside those of clients. */
  readonly batchSeats: BatchSeats;
  /** Who asks, where clients are told apart. */
  readonly clientOf: (request: FastifyRequest) => string;
  /** Whose share of the engine a request takes. */
  readonly shareOf: (request: FastifyRequest, body: UserFields) => Share;
  /** A new Uint32, for requests without a seed. */
  readonly randomSeed: () => number;
  /** How long a request may take, in seconds; 0: any time. */
  readonly requestTimeout: number;
  /** Whether a request's record keeps its prompts. */
  readonly logPrompts: boolean;
}

/** A running request. */
export interface Running {
  /** Aborts it. */
  readonly controller: AbortController;
  /** Counts its answer until that is sent. */
  readonly output: OutputAccount;
  /** Of a request of a batch, which pauses while clients need its seats; else null. */
  readonly seats: HeldSeats | null;
}

/**
 * Runs the engine work of one API request. Meanwhile, the request counts as in flight; a client
 * that leaves, or a server that ends, aborts it through the controller's signal.
 *
 * @param work must end everything it starts when the signal is aborted, which also happens when
 *   `work` has ended
 * A request of a batch waits for seats that clients leave, instead: it has no time limit, and
 * counts neither in the queue nor in its client's limits.
 *
 * @throws OctavoError `draining`, `engine_failed`, what admission refuses (`server/limits`), and
 *   what `work` throws
 */
export async function runInFlight<Result>(
  host: RequestHost,
  { engine, admission }: Pick<ModelService, 'engine' | 'admission'>,
  request: FastifyRequest,
  reply: FastifyReply,
  record: GenerationRecord,
  cost: Cost,
  work: (running: Running) => Promise<Result>,
): Promise<Result> {
  request.generation = record;
  assertEngineReady(engine);
  const controller = host.inFlight.begin();
  const timer = request.isBatch ? null : abortInTime(host, request.arrivedAt, controller);
  const output = openOutput(host, reply, controller);
  const progress = (): Progress => ({
    firstTokenAt: record.ttftMs === null ? null : request.arrivedAt + record.ttftMs,
    tokens: record.completionTokens,
    isPaused: output.isPaused,
  });
  try {
    if (request.isBatch) {
      abortOnDisconnect(reply, controller);
      const seats = await host.batchSeats.enter(cost.sequences, controller.signal);
      try {
        return await work({ controller, output, seats });
      } finally {
        seats.leave();
      }
    }
    const admitted = await admission.admit(request, reply, cost, progress);
    const leave = host.batchSeats.interactiveBegins(cost.sequences);
    abortOnDisconnect(reply, controller);
    try {
      return await work({ controller, output, seats: null });
    } finally {
      leave();
      admitted.end(record.promptTokens + record.completionTokens, record);
    }
  } finally {
    timer?.cancel();
    // Ends streams with a pending read; has no effect on streams that have ended.
    controller.abort();
    host.inFlight.end(controller);
  }
}

/** Of an answer that is sent whole, the socket may hold some when the request has ended. */
function openOutput(
  { outputMemory }: RequestHost,
  { raw }: FastifyReply,
  controller: AbortController,
): OutputAccount {
  const output = outputMemory.open({
    end: (error) => {
      // The request is over: nothing but the connection can give the memory back.
      if (controller.signal.aborted) raw.destroy(error);
      else controller.abort(error);
    },
  });
  if (raw.destroyed) output.close();
  else raw.once('close', () => output.close());
  return output;
}

/** Ends a request that takes too long with an error, which frees its blocks. */
function abortInTime(
  { requestTimeout, clock }: RequestHost,
  arrivedAt: number,
  controller: AbortController,
): Timer | null {
  if (requestTimeout === 0) return null;
  const error = new OctavoError(
    'generation_timeout',
    `the request took longer than ${requestTimeout} s; the server allows no more`,
  );
  const left = arrivedAt + requestTimeout * 1000 - clock.now();
  return clock.startTimer(() => controller.abort(error), Math.max(0, left));
}

function abortOnDisconnect(reply: FastifyReply, controller: AbortController): void {
  const abort = (): void => controller.abort(closedBecause(reply));
  if (reply.raw.destroyed) abort();
  // Also emitted after a complete answer, without effect.
  else reply.raw.once('close', abort);
}

/** Books an error that comes after the answer has begun, when no status can tell it any more. */
export function streamFailure(
  logger: Logger,
  reply: FastifyReply,
  record: GenerationRecord,
  error: unknown,
): OctavoError {
  const known = toOctavoError(error);
  reply.request.failure = known;
  if (known.entry.status === 500) {
    logger.error({ err: error, requestId: reply.request.id }, 'stream failed');
  }
  if (record.finishReason !== 'abort') record.finishReason = 'error';
  return known;
}
