import { createHash } from 'node:crypto';
import { openSync, writeSync } from 'node:fs';
import type { EvictionPolicyName } from '../../kvcache/eviction/create-eviction.js';
import type { KvCacheConfig } from '../../kvcache/kv-cache-config.js';
import { KvCacheManager } from '../../kvcache/kv-cache-manager.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import type { Refusal, SchedulerConfig } from '../../scheduler/limits.js';
import { NO_TIERS, type PrefixTiers } from '../../scheduler/prefix-tiers.js';
import { Scheduler } from '../../scheduler/scheduler.js';
import type { RequestSpec } from '../../scheduler/sequence.js';
import type { Propose } from '../../scheduler/step-builder.js';
import type { AppliedUpdate, SequenceUpdate, StepPlan } from '../../scheduler/step-plan.js';
import { OctavoError } from '../errors.js';
import { RecordedTiers, type TierAnswers } from './tier-answers.js';

/** The part of a cache's configuration that affects decisions, without observers. */
export interface TracedCacheConfig
  extends Pick<
    KvCacheConfig,
    'numBlocks' | 'blockSize' | 'enablePrefixCaching' | 'groups' | 'canCopyBlocks'
  > {
  /** Absent in traces from before the policy could be chosen: `lru`. */
  readonly eviction?: EvictionPolicyName;
}

/** A cache whose decisions can be traced, because its eviction policy has a name. */
export interface NamedCacheConfig extends KvCacheConfig {
  readonly eviction?: EvictionPolicyName;
}

/**
 * One call of the scheduler or its cache, with its result, as plain data: one JSON line each. A
 * trace contains everything that a scheduler decides by, so the same code returns the same results
 * for the same calls.
 */
export type TraceEvent =
  /** Begins a run; a file has several when the engine was restarted. */
  | {
      readonly event: 'start';
      readonly version: typeof TRACE_VERSION;
      readonly scheduler: SchedulerConfig;
      readonly cache: TracedCacheConfig;
    }
  | { readonly event: 'add'; readonly spec: RequestSpec; readonly answer: Refusal | null }
  | {
      readonly event: 'abort' | 'pause' | 'resume';
      readonly id: SequenceId;
      readonly answer: boolean;
    }
  | { readonly event: 'unpin'; readonly name: string; readonly answer: boolean }
  | { readonly event: 'resetPrefixCache'; readonly answer: boolean }
  | {
      readonly event: 'schedule';
      /** Proposed tokens, in the order of the requests for them. */
      readonly proposals: readonly (readonly TokenId[])[];
      /** Sequences that were left out of the step. */
      readonly held: readonly SequenceId[];
      /** Absent when the pool is the only tier. */
      readonly tiers?: TierAnswers;
      readonly answer: StepPlan | null;
    }
  | {
      readonly event: 'apply';
      readonly updates: readonly SequenceUpdate[];
      readonly answer: readonly AppliedUpdate[];
    };

export const TRACE_VERSION = 2;

/**
 * Receives an event, and reads it before returning, so the event may refer to data that changes
 * later.
 */
export type TraceWriter = (event: TraceEvent) => void;

/**
 * Appends events to a file, one line each, without buffering: if the process dies, the last event
 * is in the file. The file stays open until the thread ends.
 *
 * @throws OctavoError `usage` when the file cannot be opened
 */
export function openTrace(path: string): TraceWriter {
  let file: number;
  try {
    file = openSync(path, 'a', 0o600);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new OctavoError('usage', `--trace-steps ${path}: cannot be written: ${reason}`, {
      param: 'trace-steps',
      cause: error,
    });
  }
  return (event) => {
    writeSync(file, `${JSON.stringify(event)}\n`);
  };
}

/**
 * Creates a scheduler and its cache.
 *
 * @param write receives all that they decide; null for no trace
 * @param tiers behind the cache; its `onEvict` tells them what it loses
 */
export function createScheduler(
  config: SchedulerConfig,
  cacheConfig: NamedCacheConfig,
  write: TraceWriter | null,
  tiers: PrefixTiers = NO_TIERS,
): { readonly scheduler: Scheduler; readonly cache: KvCacheManager } {
  if (!write) {
    const cache = new KvCacheManager(cacheConfig);
    return { cache, scheduler: new Scheduler(config, cache, tiers) };
  }
  const cache = new TracedCache(cacheConfig, write);
  return { cache, scheduler: new TracedScheduler(config, cacheConfig, cache, write, tiers) };
}

/** A cache that records the changes that are made without its scheduler. */
class TracedCache extends KvCacheManager {
  readonly #write: TraceWriter;

  constructor(config: KvCacheConfig, write: TraceWriter) {
    super(config);
    this.#write = write;
  }

  override unpin(name: string): boolean {
    const answer = super.unpin(name);
    this.#write({ event: 'unpin', name, answer });
    return answer;
  }

  override resetPrefixCache(): boolean {
    const answer = super.resetPrefixCache();
    this.#write({ event: 'resetPrefixCache', answer });
    return answer;
  }
}

/** A scheduler that records every call that may change its decisions. */
class TracedScheduler extends Scheduler {
  readonly #write: TraceWriter;
  readonly #tiers: RecordedTiers | null;

  constructor(
    config: SchedulerConfig,
    { eviction = 'lru' }: NamedCacheConfig,
    cache: TracedCache,
    write: TraceWriter,
    tiers: PrefixTiers,
  ) {
    const recorded = tiers === NO_TIERS ? null : new RecordedTiers(tiers);
    super(config, cache, recorded ?? NO_TIERS);
    this.#write = write;
    this.#tiers = recorded;
    const { blockSize, groups, pool, enablePrefixCaching, canCopyBlocks } = cache;
    write({
      event: 'start',
      version: TRACE_VERSION,
      scheduler: configOf(config),
      cache: {
        numBlocks: pool.numBlocks,
        blockSize,
        enablePrefixCaching,
        groups,
        eviction,
        canCopyBlocks,
      },
    });
  }

  override add(spec: RequestSpec): Refusal | null {
    // Uses the salt as written in the trace, so that block hashes are the same in a replay: a
    // policy may decide by them.
    const told = specOf(spec);
    const answer = super.add(told);
    this.#write({ event: 'add', spec: told, answer });
    return answer;
  }

  override abort(id: SequenceId): boolean {
    return this.#told('abort', id, super.abort(id));
  }

  override pause(id: SequenceId): boolean {
    return this.#told('pause', id, super.pause(id));
  }

  override resume(id: SequenceId): boolean {
    return this.#told('resume', id, super.resume(id));
  }

  override schedule(propose: Propose = () => [], held?: ReadonlySet<SequenceId>): StepPlan | null {
    const proposals: (readonly TokenId[])[] = [];
    const answer = super.schedule((id, most, step) => {
      const proposal = propose(id, most, step);
      proposals.push(proposal);
      return proposal;
    }, held);
    const asked = { proposals, held: [...(held ?? [])] };
    const tiers = this.#tiers && { tiers: this.#tiers.take() };
    this.#write({ event: 'schedule', ...asked, ...tiers, answer });
    return answer;
  }

  override apply(plan: StepPlan, updates: readonly SequenceUpdate[]): AppliedUpdate[] {
    const answer = super.apply(plan, updates);
    this.#write({ event: 'apply', updates, answer });
    return answer;
  }

  #told(event: 'abort' | 'pause' | 'resume', id: SequenceId, answer: boolean): boolean {
    this.#write({ event, id, answer });
    return answer;
  }
}

/** Callers pass more fields than the scheduler reads. */
function configOf(config: SchedulerConfig): SchedulerConfig {
  const { policy, maxNumSeqs, maxNumBatchedTokens, longPrefillThreshold } = config;
  const { maxModelLength, switchLengths, modelFingerprint, admissionQuantile } = config;
  return {
    policy,
    ...(admissionQuantile !== undefined && { admissionQuantile }),
    maxNumSeqs,
    maxNumBatchedTokens,
    longPrefillThreshold,
    maxModelLength,
    switchLengths,
    modelFingerprint,
  };
}

function specOf(spec: RequestSpec): RequestSpec {
  const { ids, promptTokenIds, maxTokens, stopTokenIds, priority, arrivalTime } = spec;
  const { cacheSalt, reuse, adapter, contents, computesWholePrompt, tenant, route, pin, beams } =
    spec;
  const { repetition } = spec;
  return {
    ids,
    promptTokenIds,
    maxTokens,
    stopTokenIds,
    ...(repetition !== undefined && { repetition }),
    priority,
    arrivalTime,
    ...(route !== undefined && { route }),
    ...(pin !== undefined && { pin }),
    ...(beams !== undefined && { beams }),
    // Salt, key and tenant are secrets, so digests are written; equal ones stay equal.
    ...(tenant !== undefined && { tenant: digest(tenant) }),
    cacheSalt: digest(cacheSalt),
    ...(reuse !== undefined && { reuse: { ...reuse, key: digest(reuse.key) } }),
    ...(adapter !== undefined && { adapter }),
    ...(contents !== undefined && { contents }),
    computesWholePrompt,
  };
}

function digest(secret: string): string;
function digest(secret: string | null): string | null;
function digest(secret: string | null): string | null {
  return secret === null ? null : createHash('sha256').update(secret).digest('base64url');
}
