import { setImmediate } from 'node:timers/promises';
import { EngineCore } from '../../engine/core/engine-core.js';
import type { ModelRunner } from '../../engine/core/model-runner.js';
import type { Decoder } from '../../engine/decoding/decoder.js';
import { type Proposer, proposerOf } from '../../engine/decoding/proposer.js';
import type { SequenceOutput } from '../../engine/protocol/outputs.js';
import { type EngineRequest, PLAIN_REQUEST } from '../../engine/protocol/request.js';
import { GREEDY } from '../../engine/sampling/sampling-params.js';
import type { TokenConstraint } from '../../engine/sampling/token-constraint.js';
import type { BlockTier } from '../../engine/tiers/block-tier.js';
import { type BlockTransfer, transferOf } from '../../engine/tiers/block-transfer.js';
import { MemoryTier } from '../../engine/tiers/memory-tier.js';
import { type FarTier, TieredCache } from '../../engine/tiers/tiered-cache.js';
import { createScheduler, type TraceWriter } from '../../engine/trace/step-trace.js';
import { CacheEventLog } from '../../kvcache/cache-events.js';
import { type CacheGroup, FULL_ATTENTION } from '../../kvcache/cache-group.js';
import type { EvictionPolicyName } from '../../kvcache/eviction/create-eviction.js';
import type { KvCacheManager } from '../../kvcache/kv-cache-manager.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import type { SchedulerConfig } from '../../scheduler/limits.js';
import { NO_TIERS } from '../../scheduler/prefix-tiers.js';
import type { Scheduler } from '../../scheduler/scheduler.js';
import type { Propose } from '../../scheduler/step-builder.js';
import { PagedModel } from './paged-model.js';
import { historyOf } from './sequences.js';

const refuse = (): never => {
  throw new Error('adapters of the harness are there already');
};

/** Any name is that of an adapter, whose content is its name. */
const ANY_ADAPTER = {
  list: [],
  get: (name: string) => ({ name, contentHash: name }),
  load: refuse,
  unload: refuse,
  settle: () => undefined,
};

export interface HarnessConfig extends Partial<SchedulerConfig> {
  readonly numBlocks?: number;
  readonly blockSize?: number;
  readonly vocabSize?: number;
  readonly enablePrefixCaching?: boolean;
  readonly groups?: readonly CacheGroup[];
  /** Default: they can. */
  readonly canCopyBlocks?: boolean;
  readonly eviction?: EvictionPolicyName;
  /** Whether changes of the prefix cache are logged. */
  readonly cacheEvents?: boolean;
  /** Guesses how sequences go on. */
  readonly propose?: Propose;
  /** Instead of `propose`. */
  readonly proposer?: Proposer;
  /** In place of sampling. */
  readonly decoder?: Decoder;
  /** Told of all that the scheduler decides. */
  readonly trace?: TraceWriter;
  /** Tiers behind the pages; absent: none. */
  readonly tiers?: HarnessTiers;
  /** In place of the test model, which then computes nothing. */
  readonly runner?: ModelRunner;
  /** Steps between two checks of integrity; 1 unless a test is long. */
  readonly checkEvery?: number;
}

export interface HarnessTiers {
  /** Contents that the memory tier holds, at most. */
  readonly places: number;
  /** Behind it. */
  readonly far?: readonly (BlockTier & { tick(): Promise<void> })[];
  readonly keeps?: FarTier['keeps'];
  readonly patienceMs?: number;
  /** Whether pages are copied later, as those of a device are. */
  readonly copiesLate?: boolean;
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
  readonly memory: MemoryTier | null = null;
  readonly tiers: TieredCache | null = null;
  readonly vocabSize: number;
  /** Completed and partial texts by request. */
  readonly texts = new Map<string, number[]>();
  /** First outputs. */
  readonly first = new Map<string, SequenceOutput>();
  /** Last outputs. */
  readonly finished = new Map<string, SequenceOutput>();
  readonly #checkEvery: number;
  readonly #far: NonNullable<HarnessTiers['far']>;
  #time = 0;
  #steps = 0;

  constructor(config: HarnessConfig = {}) {
    const { numBlocks = 64, blockSize = 4, vocabSize = 50, canCopyBlocks = true } = config;
    this.vocabSize = vocabSize;
    this.#checkEvery = config.checkEvery ?? 1;
    this.#far = config.tiers?.far ?? [];
    const groups = config.groups ?? [FULL_ATTENTION];
    const { switchLengths = [] } = config;
    const model = { numBlocks, blockSize, vocabSize, groups, switchLengths, canCopyBlocks };
    this.model = new PagedModel(model);
    const history = historyOf(numBlocks, () => this.#time);
    if (config.tiers) {
      const { places, keeps = 'all', patienceMs = 60_000, copiesLate = false } = config.tiers;
      const far = this.#far.map((tier) => ({ tier, keeps }));
      const near = transferOf(this.model.pages);
      const pages = copiesLate ? this.#lateTransfer(near) : near;
      const { bytesPerBlock } = pages;
      const memory = new MemoryTier({ capacityBytes: places * bytesPerBlock, bytesPerBlock });
      const now = (): number => this.#time;
      const tiers = new TieredCache({ far, patienceMs, pages, history, memory, now });
      this.model.loadBlocks = (loads) => tiers.load(loads);
      this.memory = memory;
      this.tiers = tiers;
    }
    const { tiers } = this;
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
        groups,
        canCopyBlocks,
        ...(config.eviction && { eviction: config.eviction }),
        ...(tiers && {
          onEvict: (block, hash) => tiers.evicted(block, hash),
          onHit: (block, hash) => tiers.hit(block, hash),
          onStore: (block, hash, parent) => tiers.stored(block, hash, parent),
        }),
        history,
        ...(config.cacheEvents && { events: new CacheEventLog(blockSize, groups) }),
      },
      config.trace ?? null,
      tiers ?? NO_TIERS,
    );
    this.cache = cache;
    this.scheduler = scheduler;
    this.core = new EngineCore({
      scheduler: this.scheduler,
      runner: config.runner ?? this.model,
      vocabSize,
      cache: this.cache,
      now: () => this.#time++,
      ...(config.propose && { proposer: proposerOf(config.propose) }),
      ...(config.proposer && { proposer: config.proposer }),
      adapters: ANY_ADAPTER,
      ...(tiers && { tiers }),
      ...(config.decoder && { decoder: config.decoder }),
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

  /** Copies what is there when the far tiers have had their turn. */
  #lateTransfer(pages: BlockTransfer): BlockTransfer {
    const others = async (): Promise<void> => {
      await setImmediate();
      for (const tier of this.#far) await tier.tick();
    };
    return {
      bytesPerBlock: pages.bytesPerBlock,
      read: async (blocks, into) => {
        await others();
        await pages.read(blocks, into);
      },
      write: async (blocks, from) => {
        await others();
        await pages.write(blocks, from);
      },
    };
  }

  async step(): Promise<SequenceOutput[]> {
    return (await this.#tryStep()) ?? [];
  }

  /** @returns null when nothing could run */
  async #tryStep(): Promise<SequenceOutput[] | null> {
    const outputs = await this.core.step();
    for (const tier of this.#far) await tier.tick();
    if (!outputs) {
      this.scheduler.checkIntegrity();
      return this.scheduler.numLoading > 0 ? [] : null;
    }
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
