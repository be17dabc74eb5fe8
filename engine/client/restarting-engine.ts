import type { CacheEvent } from '../../kvcache/cache-events.js';
import type { SequenceId } from '../../scheduler/ids.js';
import type { OctavoError } from '../errors.js';
import type { AdapterInfo, EngineInfo } from '../protocol/options.js';
import type { SequenceOutput } from '../protocol/outputs.js';
import type { EngineSnapshot, EngineStats, StepReport } from '../protocol/reports.js';
import type { EngineRequest } from '../protocol/request.js';
import type { Engine, EngineAdapters, OutputMeter } from './engine-port.js';
import { assertEngineReady } from './engine-state.js';

/** An engine that can be replaced when it has failed. */
export interface RestartableEngine extends Engine {
  /**
   * Resolves once the engine's thread has ended: to null after `close`, or to the reason of its
   * failure.
   */
  readonly ended: Promise<OctavoError | null>;
}

export interface RestartingEngineOptions {
  /**
   * Creates another engine of the same kind, with `EngineOptions.isRestart`.
   *
   * @param adapters those that the failed one had; absent: it took none
   */
  readonly create: (adapters?: readonly AdapterInfo[]) => Promise<RestartableEngine>;
  /** Number of failed engines that are replaced before the failure is final. */
  readonly restarts: number;
  readonly onFailure: (reason: OctavoError) => void;
  readonly onRestartFailed: (error: unknown) => void;
}

/**
 * Replaces a failed engine by a new one with an empty cache. The old engine fails the requests in
 * flight; requests that arrive while the new one is loaded are refused with 503. When no restart is
 * left, or a restart fails, the failure is final.
 */
export class RestartingEngine implements Engine {
  readonly #options: RestartingEngineOptions;
  readonly #listeners = new Set<(report: StepReport) => void>();
  readonly #cacheListeners = new Set<(events: readonly CacheEvent[]) => void>();
  readonly #watchers = new Set<(snapshot: EngineSnapshot) => void>();
  readonly #restartListeners = new Set<() => void>();
  #engine: RestartableEngine;
  /** Set while there are listeners of snapshots. */
  #unwatch: (() => void) | null = null;
  #left: number;
  #restarts = 0;
  #restarting = false;
  #closing = false;
  /** Resolves when the present restart has ended. */
  #restart: Promise<void> = Promise.resolve();

  constructor(first: RestartableEngine, options: RestartingEngineOptions) {
    this.#options = options;
    this.#left = options.restarts;
    this.#engine = first;
    this.#adopt(first);
  }

  get info(): EngineInfo {
    return this.#engine.info;
  }

  get stats(): EngineStats {
    return this.#engine.stats;
  }

  get restarts(): number {
    return this.#restarts;
  }

  get state(): Engine['state'] {
    // After the failure and before the thread's end, the engine is not replaced yet, but will be.
    const dying = this.#engine.state === 'failed' && this.#left > 0;
    return this.#restarting || dying ? 'restarting' : this.#engine.state;
  }

  onStep(listener: (report: StepReport) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** When an engine is replaced, its cache is gone: listeners get `cleared`. */
  onCacheEvents(listener: (events: readonly CacheEvent[]) => void): () => void {
    this.#cacheListeners.add(listener);
    return () => void this.#cacheListeners.delete(listener);
  }

  watch(listener: (snapshot: EngineSnapshot) => void): () => void {
    this.#watchers.add(listener);
    this.#watchEngine();
    return () => {
      this.#watchers.delete(listener);
      if (this.#watchers.size === 0) this.#stopWatching();
    };
  }

  submit(
    request: EngineRequest,
    signal?: AbortSignal,
    meter?: OutputMeter,
  ): readonly AsyncIterable<SequenceOutput>[] {
    if (this.state === 'restarting') return request.ids.map(refused);
    return this.#engine.submit(request, signal, meter);
  }

  pause(ids: readonly SequenceId[]): void {
    this.#engine.pause(ids);
  }

  resume(ids: readonly SequenceId[]): void {
    this.#engine.resume(ids);
  }

  get adapters(): EngineAdapters | undefined {
    return this.#engine.adapters;
  }

  unpin(name: string): void {
    this.#engine.unpin(name);
  }

  onRestart(listener: () => void): void {
    this.#restartListeners.add(listener);
  }

  async resetPrefixCache(tiers = false): Promise<boolean> {
    assertEngineReady(this);
    return this.#engine.resetPrefixCache(tiers);
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.#restart;
    await this.#engine.close();
  }

  #adopt(engine: RestartableEngine): void {
    this.#engine = engine;
    engine.onStep((report) => {
      for (const listen of this.#listeners) listen(report);
    });
    engine.onCacheEvents((events) => this.#tellCacheEvents(events));
    if (this.#watchers.size > 0) this.#watchEngine();
    void this.#replaceWhenEnded(engine);
  }

  #tellCacheEvents(events: readonly CacheEvent[]): void {
    for (const listen of this.#cacheListeners) listen(events);
  }

  /** Subscribes again for each new listener, so that it gets a snapshot, too. */
  #watchEngine(): void {
    this.#stopWatching();
    this.#unwatch = this.#engine.watch((snapshot) => {
      for (const listen of this.#watchers) listen(snapshot);
    });
  }

  #stopWatching(): void {
    this.#unwatch?.();
    this.#unwatch = null;
  }

  async #replaceWhenEnded(engine: RestartableEngine): Promise<void> {
    const reason = await engine.ended;
    if (reason === null || this.#closing) return;
    this.#options.onFailure(reason);
    this.#tellCacheEvents([{ type: 'cleared' }]);
    if (this.#left > 0) this.#restart = this.#replace();
  }

  async #replace(): Promise<void> {
    this.#left -= 1;
    this.#restarting = true;
    try {
      this.#adopt(await this.#options.create(this.#engine.adapters?.list));
      this.#restarts += 1;
    } catch (error) {
      this.#left = 0;
      this.#options.onRestartFailed(error);
      return;
    } finally {
      this.#restarting = false;
    }
    for (const listen of this.#restartListeners) listen();
  }
}

/** The stream of a sequence that cannot run now. */
function refused(): AsyncIterable<SequenceOutput> {
  const next = async (): Promise<never> => assertEngineReady({ state: 'restarting' }) as never;
  return { [Symbol.asyncIterator]: () => ({ next }) };
}
