import { EngineCore } from '../../engine/core/engine-core.js';
import type { SequenceOutput } from '../../engine/protocol/outputs.js';
import { type EngineRequest, PLAIN_REQUEST } from '../../engine/protocol/request.js';
import { GREEDY } from '../../engine/sampling/sampling-params.js';
import type { TokenConstraint } from '../../engine/sampling/token-constraint.js';
import { createScheduler, type TraceWriter } from '../../engine/trace/step-trace.js';
import { CacheEventLog } from '../../kvcache/cache-events.js';
import { type CacheGroup, FULL_ATTENTION } from '../../kvcache/cache-group.js';
import type { EvictionPolicyName } from '../../kvcache/eviction/create-eviction.js';
import type { KvCacheManager } from '../../kvcache/kv-cache-manager.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import type { SchedulerConfig } from '../../scheduler/limits.js';
import type { Scheduler } from '../../scheduler/scheduler.js';
import type { Propose } from '../../scheduler/step-builder.js';
import { PagedModel } from './paged-model.js';
import { historyOf } from './sequences.js';

export interface HarnessConfig extends Partial<SchedulerConfig> {
  readonly numBlocks?: number;
  readonly blockSize?: number;
  readonly vocabSize?: number;
  readonly enablePrefixCaching?: boolean;
  readonly groups?: readonly CacheGroup[];
  readonly eviction?: EvictionPolicyName;
  /** Whether changes of the prefix cache are logged. */
  readonly cacheEvents?: boolean;
  /** Guesses how sequences go on. */
  readonly propose?: Propose;
  /** Told of all that the scheduler decides. */
  readonly trace?: TraceWriter;
  /** Steps between two checks of integrity; 1 unless a test is long. */
  readonly checkEvery?: number;
}

/**
 * A whole engine core over the test model, with a clock that ticks once per request, and integrity
 * checked after every step.
 */
export class CoreHarness {
  readonly cache: KvCacheManager;
  readonly scheduler: Scheduler;
  readonly model: PagedModel;
  readonly core: EngineCore;
  readonly vocabSize: number;
  /** Completed and partial texts by request. */
  readonly texts = new Map<string, number[]>();
  /** First outputs. */
  readonly first = new Map<string, SequenceOutput>();
  /** Last outputs. */
  readonly finished = new Map<string, SequenceOutput>();
  readonly #checkEvery: number;
  #time = 0;
  #steps = 0;

  constructor(config: HarnessConfig = {}) {
    const { numBlocks = 64, blockSize = 4, vocabSize = 50 } = config;
    this.vocabSize = vocabSize;
    this.#checkEvery = config.checkEvery ?? 1;
    const { cache, scheduler } = createScheduler(
      {
        policy: 'fcfs',
        maxNumSeqs: 8,
        maxNumBatchedTokens: 32,
        longPrefillThreshold: 0,
        maxModelLength: 256,
        switchLengths: [],
        modelFingerprint: 'test',
        ...config,
      },
      {
        numBlocks,
        blockSize,
        enablePrefixCaching: config.enablePrefixCaching ?? true,
        ...(config.groups && { groups: config.groups }),
        ...(config.eviction && { eviction: config.eviction }),
        history: historyOf(numBlocks, () => this.#time),
        ...(config.cacheEvents && {
          events: new CacheEventLog(blockSize, config.groups ?? [FULL_ATTENTION]),
        }),
      },
      config.trace ?? null,
    );
    this.cache = cache;
    this.scheduler = scheduler;
    this.model = new PagedModel({
      numBlocks,
      blockSize,
      vocabSize,
      groups: this.cache.groups,
      switchLengths: config.switchLengths ?? [],
    });
    this.core = new EngineCore({
      scheduler: this.scheduler,
      runner: this.model,
      vocabSize,
      cache: this.cache,
      now: () => this.#time++,
      ...(config.propose && { propose: config.propose }),
    });
  }

  add(
    ids: string | readonly string[],
    prompt: readonly number[],
    maxTokens: number,
    more: Partial<EngineRequest> = {},
    constraints: readonly TokenConstraint[] = [],
  ): void {
    const request = {
      ids: (typeof ids === 'string' ? [ids] : ids) as readonly SequenceId[],
      promptTokenIds: prompt as readonly TokenId[],
      maxTokens,
      stopTokenIds: [],
      sampling: GREEDY,
      ...PLAIN_REQUEST,
      ...more,
    };
    this.core.add(request, constraints);
  }

  async step(): Promise<SequenceOutput[]> {
    return (await this.#tryStep()) ?? [];
  }

  /** @returns null when nothing could run */
  async #tryStep(): Promise<SequenceOutput[] | null> {
    const outputs = await this.core.step();
    if (!outputs) return null;
    for (const output of outputs) {
      const text = this.texts.get(output.id) ?? [];
      text.push(...output.tokenIds);
      this.texts.set(output.id, text);
      if (text.length === output.tokenIds.length) this.first.set(output.id, output);
      if (output.finishReason !== null) this.finished.set(output.id, output);
    }
    if (++this.#steps % this.#checkEvery === 0) this.scheduler.checkIntegrity();
    return outputs;
  }

  /** Until all that is alive is paused. @throws Error when that is not so after `maxSteps` */
  async runWhilePossible(maxSteps = 2000): Promise<void> {
    for (let i = 0; (await this.#tryStep()) !== null; i++) {
      if (i === maxSteps) throw new Error(`still at work after ${maxSteps} steps`);
    }
  }

  /** @throws Error when the work does not end within `maxSteps` */
  async runToEnd(maxSteps = 2000): Promise<void> {
    for (let i = 0; this.core.hasWork; i++) {
      if (i === maxSteps) throw new Error(`still at work after ${maxSteps} steps`);
      await this.step();
    }
  }
}
