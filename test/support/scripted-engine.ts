import type { Engine, OutputMeter } from '../../engine/client/engine-port.js';
import { OutputQueue } from '../../engine/client/output-queue.js';
import type { OctavoError } from '../../engine/errors.js';
import type { EngineInfo } from '../../engine/protocol/options.js';
import type {
  FirstTokenTimes,
  SequenceOutput,
  TokenLogprobs,
} from '../../engine/protocol/outputs.js';
import type {
  EngineSnapshot,
  EngineStats,
  StepReport,
  TierStats,
} from '../../engine/protocol/reports.js';
import type { EngineRequest } from '../../engine/protocol/request.js';
import { seedOf } from '../../engine/sampling/random.js';
import type { CacheEvent } from '../../kvcache/cache-events.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';

/** Figures of a tier, no two of which are the same. */
export const MEMORY_TIER: TierStats = {
  name: 'memory',
  isUp: true,
  isWritable: true,
  blocks: 3,
  bytes: 300,
  capacityBytes: 1000,
  loaded: 5,
  stored: 7,
  failed: 1,
  dropped: 2,
  asked: 9,
  found: 4,
  loads: 2,
  loadMs: 30,
  queued: 6,
};

/**
 * What the engine does with one request: outputs of a script, an error, or silence until it is
 * aborted.
 */
export interface Script {
  /** Token ids, one output for each list. */
  readonly steps: readonly (readonly number[])[];
  /** Reason of the last step; null: the request then hangs until it is aborted. */
  readonly finish: 'stop' | 'length' | null;
  readonly cachedTokens?: number;
  readonly tierTokens?: number;
  /** Of a request that pins its prompt; default: 0. */
  readonly pinnedTokens?: number;
  readonly times?: FirstTokenTimes;
  /** Thrown after the steps, instead of an end. */
  readonly error?: OctavoError;
  /** With the last step. */
  readonly embedding?: Float32Array;
  /** With the last step, for a request with labels. */
  readonly labelLogprobs?: readonly number[];
  /**
   * Log-probabilities of a token, when they are asked for: `top` of the likeliest. Otherwise
   * `standardScores`.
   */
  readonly scores?: (id: TokenId, top: number) => TokenLogprobs;
  /** Awaited before every step. */
  readonly beforeStep?: (step: number) => Promise<void> | void;
}

/** The token itself is the likeliest, then come those with the next ids, each less likely by 1. */
export function standardScores(id: TokenId, top: number): TokenLogprobs {
  const ranks = Array.from({ length: top }, (_, rank) => rank);
  return {
    logprob: -0.25,
    topIds: ranks.map((rank) => (id + rank) as TokenId),
    topLogprobs: ranks.map((rank) => -0.25 - rank),
  };
}

/** One sequence of a request. */
export interface SubmittedRequest {
  readonly id: SequenceId;
  readonly request: EngineRequest;
  /** How it ended for the engine; null while it runs. */
  ended: 'finished' | 'aborted' | 'left' | 'failed' | null;
  /** Outputs that the server has taken. */
  taken: number;
}

/** An engine port without a model: a function decides what each request gets. */
export class ScriptedEngine implements Engine {
  readonly info: EngineInfo;
  restarts = 0;
  stats: EngineStats = {
    running: 0,
    waiting: 0,
    paused: 0,
    loading: 0,
    preemptions: 0,
    usedBlocks: 0,
    steps: 0,
  };
  state: 'ready' | 'failed' = 'ready';
  closed = false;
  readonly submitted: SubmittedRequest[] = [];
  /** Names, in their order. */
  readonly unpinned: string[] = [];
  readonly stepListeners = new Set<(report: StepReport) => void>();
  readonly cacheListeners = new Set<(events: readonly CacheEvent[]) => void>();
  readonly watchers = new Set<(snapshot: EngineSnapshot) => void>();
  readonly paused = new Set<SequenceId>();
  readonly #script: (request: EngineRequest) => Script;
  readonly #runsAhead: boolean;

  /**
   * @param runsAhead as a real engine does: steps continue while outputs are not read. Otherwise
   *   each waits for its reader
   */
  constructor(
    script: (request: EngineRequest) => Script,
    info: Partial<EngineInfo> = {},
    runsAhead = false,
  ) {
    this.#script = script;
    this.#runsAhead = runsAhead;
    this.info = {
      vocabSize: 400,
      hiddenSize: 8,
      evictionPolicy: 'predicted',
      maxModelLength: 256,
      device: 'cpu',
      kvDtype: 'f32',
      blockSize: 16,
      numBlocks: 64,
      maxNumBatchedTokens: 512,
      ...info,
    };
  }

  /** Requests that still run. */
  get alive(): SequenceId[] {
    return this.submitted.filter(({ ended }) => ended === null).map(({ id }) => id);
  }

  onStep(listener: (report: StepReport) => void): () => void {
    this.stepListeners.add(listener);
    return () => void this.stepListeners.delete(listener);
  }

  onCacheEvents(listener: (events: readonly CacheEvent[]) => void): () => void {
    this.cacheListeners.add(listener);
    return () => void this.cacheListeners.delete(listener);
  }

  watch(listener: (snapshot: EngineSnapshot) => void): () => void {
    this.watchers.add(listener);
    return () => void this.watchers.delete(listener);
  }

  pause(ids: readonly SequenceId[]): void {
    for (const id of ids) this.paused.add(id);
  }

  resume(ids: readonly SequenceId[]): void {
    for (const id of ids) this.paused.delete(id);
  }

  submit(
    request: EngineRequest,
    signal?: AbortSignal,
    meter?: OutputMeter,
  ): AsyncIterable<SequenceOutput>[] {
    return request.ids.map((id, index) => {
      const seed = seedOf(request.sampling.seed, index);
      const own = { ...request, sampling: { ...request.sampling, seed } };
      const outputs = this.#run(id, own, signal);
      return this.#runsAhead ? this.#ahead(id, outputs, signal, meter) : outputs;
    });
  }

  /** Reads the outputs into a queue, from now on. */
  #ahead(
    id: SequenceId,
    outputs: AsyncIterable<SequenceOutput>,
    signal?: AbortSignal,
    meter?: OutputMeter,
  ): AsyncIterable<SequenceOutput> {
    const queue = new OutputQueue(meter);
    const pump = async (): Promise<void> => {
      for await (const output of outputs) {
        queue.push(output);
        const isHeld = (): boolean => this.paused.has(id) && signal?.aborted !== true;
        while (isHeld()) await new Promise((resolve) => setImmediate(resolve));
      }
    };
    void pump().catch((error: OctavoError) => queue.fail(error));
    return readQueue(queue);
  }

  unpin(name: string): void {
    this.unpinned.push(name);
  }

  /** Whether the last reset was to forget what tiers hold. */
  hasResetTiers = false;

  resetPrefixCache(tiers = false): Promise<boolean> {
    this.hasResetTiers = tiers;
    return Promise.resolve(this.alive.length === 0);
  }

  async *#run(
    id: SequenceId,
    request: EngineRequest,
    signal?: AbortSignal,
  ): AsyncGenerator<SequenceOutput> {
    const entry: SubmittedRequest = { id, request, ended: null, taken: 0 };
    this.submitted.push(entry);
    const script = this.#script(request);
    const {
      steps,
      finish,
      error,
      embedding,
      labelLogprobs,
      beforeStep,
      cachedTokens = 0,
      tierTokens,
      times,
    } = script;
    const { scores = standardScores } = script;
    const { logprobs, promptLogprobs, promptTokenIds } = request;
    const scored = (ids: readonly number[], top: number): TokenLogprobs[] =>
      ids.map((token) => scores(token as TokenId, top));
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
          id,
          tokenIds: step as TokenId[],
          finishReason: last ? finish : null,
          cachedTokens,
          ...(tierTokens !== undefined && { tierTokens }),
          ...(last && request.pin !== undefined && { pinnedTokens: script.pinnedTokens ?? 0 }),
          ...(last && finish === 'stop' && step.length > 0
            ? { stopToken: step.at(-1) as TokenId }
            : {}),
          ...(index === 0 && times ? { times } : {}),
          ...(last && embedding ? { embedding } : {}),
          ...(last && labelLogprobs ? { labelLogprobs } : {}),
          ...(logprobs === null ? {} : { logprobs: scored(step, logprobs) }),
          ...(index > 0 || promptLogprobs === null
            ? {}
            : { promptLogprobs: scored(promptTokenIds.slice(1), promptLogprobs) }),
        };
        if (last && finish !== null) return;
      }
      if (!signal?.aborted && error) {
        entry.ended = 'failed';
        throw error;
      }
      await aborted;
      entry.ended = 'aborted';
      yield { id, tokenIds: [], finishReason: 'abort', cachedTokens };
    } finally {
      entry.ended ??= 'left';
    }
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}

async function* readQueue(queue: OutputQueue): AsyncGenerator<SequenceOutput> {
  try {
    for (;;) {
      const output = await queue.next();
      yield output;
      if (output.finishReason !== null) return;
    }
  } finally {
    queue.close();
  }
}
