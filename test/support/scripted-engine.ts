import type { EngineInfo, EngineRequest, EngineStats } from '../../engine/core/protocol.js';
import type { OctavoError } from '../../engine/errors.js';
import type { RequestId, TokenId } from '../../scheduler/ids.js';
import type { Engine, EngineOutput } from '../../server/engine-port.js';

/** What the engine does with one request: outputs of a script, an error, or silence until it is aborted. */
export interface Script {
  /** Token ids, one output for each list. */
  readonly steps: readonly (readonly number[])[];
  /** Reason of the last step; null: the request then hangs until it is aborted. */
  readonly finish: 'stop' | 'length' | null;
  readonly cachedTokens?: number;
  /** Thrown after the steps, instead of an end. */
  readonly error?: OctavoError;
  /** Awaited before every step. */
  readonly beforeStep?: (step: number) => Promise<void> | void;
}

/** One completion of a request. */
export interface SubmittedRequest {
  readonly id: RequestId;
  readonly request: EngineRequest;
  /** How it ended for the engine; null while it runs. */
  ended: 'finished' | 'aborted' | 'left' | 'failed' | null;
  /** Outputs that the server has taken. */
  taken: number;
}

/** An engine port without a model: a function decides what each request gets. */
export class ScriptedEngine implements Engine {
  readonly info: EngineInfo;
  stats: EngineStats = { running: 0, waiting: 0, preemptions: 0, usedBlocks: 0, steps: 0 };
  state: 'ready' | 'failed' = 'ready';
  closed = false;
  readonly submitted: SubmittedRequest[] = [];
  readonly #script: (request: EngineRequest) => Script;

  constructor(script: (request: EngineRequest) => Script, info: Partial<EngineInfo> = {}) {
    this.#script = script;
    this.info = {
      vocabSize: 400,
      hiddenSize: 8,
      maxModelLength: 256,
      blockSize: 16,
      numBlocks: 64,
      ...info,
    };
  }

  /** Requests that still run. */
  get alive(): RequestId[] {
    return this.submitted.filter(({ ended }) => ended === null).map(({ id }) => id);
  }

  submit(request: EngineRequest, signal?: AbortSignal): AsyncGenerator<EngineOutput>[] {
    return request.ids.map((id, index) => {
      const seed = (request.sampling.seed + index) >>> 0;
      return this.#run(id, { ...request, sampling: { ...request.sampling, seed } }, signal);
    });
  }

  resetPrefixCache(): Promise<boolean> {
    return Promise.resolve(this.alive.length === 0);
  }

  async *#run(
    id: RequestId,
    request: EngineRequest,
    signal?: AbortSignal,
  ): AsyncGenerator<EngineOutput> {
    const entry: SubmittedRequest = { id, request, ended: null, taken: 0 };
    this.submitted.push(entry);
    const { steps, finish, error, beforeStep, cachedTokens = 0 } = this.#script(request);
    const aborted = new Promise<void>((resolve) => {
      if (signal?.aborted) resolve();
      signal?.addEventListener('abort', () => resolve(), { once: true });
    });
    try {
      for (const [index, step] of steps.entries()) {
        await Promise.race([beforeStep?.(index), aborted]);
        // A turn of the event loop for each step, as a real engine's message has.
        await new Promise((resolve) => setImmediate(resolve));
        if (signal?.aborted) break;
        const last = index === steps.length - 1 && !error;
        entry.taken++;
        if (last && finish !== null) entry.ended = 'finished';
        yield {
          tokenIds: step as TokenId[],
          finishReason: last ? finish : null,
          cachedTokens,
        };
        if (last && finish !== null) return;
      }
      if (!signal?.aborted && error) {
        entry.ended = 'failed';
        throw error;
      }
      await aborted;
      entry.ended = 'aborted';
      yield { tokenIds: [], finishReason: 'abort', cachedTokens };
    } finally {
      entry.ended ??= 'left';
    }
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}
