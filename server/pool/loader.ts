import type { Logger } from 'pino';
import type { Clock } from '../../engine/clock.js';
import { OctavoError } from '../../engine/errors.js';
import type { ModelParts, ModelService } from '../models.js';
import { chooseVictim } from './choose-victim.js';
import type { EntryListener, ModelEntry } from './model-entry.js';
import type { OwnedParts } from './model-source.js';

/** What may be loaded at a time; 0: any number. */
export interface LoaderLimits {
  readonly maxLoaded: number;
  /** Bytes of weights and KV caches. */
  readonly maxBytes: number;
}

interface LoaderOptions extends LoaderLimits {
  readonly serve: (parts: ModelParts) => ModelService;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly told: {
    loaded(service: ModelService): void;
    unloading(service: ModelService): void;
  };
}

/**
 * Loads models in the order in which they are asked for, one at a time, and unloads others to make
 * room.
 */
export class Loader implements EntryListener {
  readonly #entries: () => readonly ModelEntry[];
  readonly #options: LoaderOptions;
  /** Those that requests wait for. */
  readonly #queue = new Set<ModelEntry>();
  readonly #closers = new Map<ModelEntry, OwnedParts['close']>();
  readonly #unloads = new Map<ModelEntry, Promise<void>>();
  #isRunning = false;
  #onChange: (() => void) | null = null;

  constructor(entries: () => readonly ModelEntry[], options: LoaderOptions) {
    this.#entries = entries;
    this.#options = options;
  }

  /** A model that was loaded elsewhere. */
  adopt(entry: ModelEntry, parts: ModelParts | OwnedParts): void {
    if ('close' in parts) {
      this.#closers.set(entry, () => parts.close());
      entry.bytes = parts.bytes;
    }
    const service = this.#options.serve(parts);
    entry.service = service;
    entry.state = 'loaded';
    entry.failure = null;
    entry.contextLength = parts.engine.info.maxModelLength;
    entry.loadedAt = this.#options.clock.unixSeconds();
    this.#options.told.loaded(service);
    entry.grantAll(service);
  }

  /** Has a model loaded, in turn. */
  want(entry: ModelEntry): void {
    this.#queue.add(entry);
    if (!this.#isRunning) void this.#run();
  }

  /** Requests have ended, or wait no more. */
  changed(): void {
    this.#onChange?.();
  }

  released(): void {
    this.changed();
  }

  expired(entry: ModelEntry): void {
    const isIdle = entry.uses === 0 && entry.waiters.size === 0 && entry.state === 'loaded';
    if (isIdle && entry.source !== null) void this.unload(entry, 'no request asks for it');
  }

  /** Unloads a model when its requests have ended, without taking new ones. */
  async letGo(entry: ModelEntry, why: string): Promise<void> {
    if (entry.source === null || entry.state !== 'loaded') return;
    entry.isLeaving = true;
    while (entry.uses > 0) await this.#change();
    if (entry.isLeaving) await this.unload(entry, why);
  }

  /** Closes a model, whatever it works on. */
  unload(entry: ModelEntry, why: string): Promise<void> {
    const running = this.#unloads.get(entry);
    if (running) return running;
    if (entry.state !== 'loaded') return Promise.resolve();
    const unload = this.#unload(entry, why).finally(() => this.#unloads.delete(entry));
    this.#unloads.set(entry, unload);
    return unload;
  }

  async #unload(entry: ModelEntry, why: string): Promise<void> {
    const { logger, told } = this.#options;
    entry.state = 'unloading';
    if (entry.service) told.unloading(entry.service);
    entry.forget();
    const close = this.#closers.get(entry);
    this.#closers.delete(entry);
    try {
      await close?.();
    } catch (error) {
      logger.error({ err: error, model: entry.name }, 'octavo: closing a model failed');
    }
    entry.state = 'unloaded';
    logger.info({ model: entry.name }, `octavo: unloaded ${entry.name}: ${why}`);
    this.changed();
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    for (const entry of this.#queue) {
      try {
        await this.#serve(entry);
      } finally {
        this.#queue.delete(entry);
      }
      // Some may have come while the last of the queue was served.
      if (entry.waiters.size > 0) this.#queue.add(entry);
    }
    this.#isRunning = false;
  }

  /** Gives those who wait for a model what they wait for, or an error. */
  async #serve(entry: ModelEntry): Promise<void> {
    const { logger, clock } = this.#options;
    await this.#unloads.get(entry);
    if (entry.open?.engine.state === 'failed') await this.unload(entry, 'its engine has failed');
    while (entry.isLeaving && entry.uses > 0) await this.#change();
    if (entry.isLeaving) await this.unload(entry, 'as asked');
    if (entry.open) return entry.grantAll(entry.open);
    if (entry.waiters.size === 0 || !entry.source) return;
    const startedAt = clock.now();
    entry.state = 'loading';
    try {
      const { bytes } = await entry.source.measure();
      entry.bytes = bytes;
      if (!(await this.#makeRoom(entry))) {
        entry.state = 'unloaded';
        return;
      }
      logger.info({ model: entry.name }, `octavo: loading ${entry.name}`);
      const parts = await entry.source.load();
      this.adopt(entry, parts);
      const seconds = ((clock.now() - startedAt) / 1000).toFixed(1);
      logger.info({ model: entry.name }, `octavo: loaded ${entry.name} in ${seconds} s`);
    } catch (error) {
      entry.state = 'failed';
      const known = loadError(entry, error);
      entry.failure = known;
      logger.error({ err: error, model: entry.name }, `octavo: ${known.message}`);
      entry.failAll(known);
    }
  }

  /**
   * @returns whether there is room: not when all who waited have left
   * @throws OctavoError `model_unavailable` when there can be none
   */
  async #makeRoom(entry: ModelEntry): Promise<boolean> {
    let leaving: ModelEntry | null = null;
    while (entry.waiters.size > 0) {
      if (this.#hasRoom(entry)) return true;
      const others = this.#entries().filter(
        ({ state, source }) => state === 'loaded' && source !== null,
      );
      const victim: ModelEntry | null = leaving ?? chooseVictim(others);
      if (victim === null) {
        if (this.#unloads.size === 0) throw noRoom(this.#options);
        await Promise.race(this.#unloads.values());
      } else if (victim.uses === 0) {
        await this.unload(victim, `${entry.name} needs its room`);
        leaving = null;
        if (victim.waiters.size > 0) this.#queue.add(victim);
      } else {
        victim.isLeaving = true;
        leaving = victim;
        await this.#change();
      }
    }
    // Those who came meanwhile for the one that stays have waited long enough.
    if (leaving) {
      leaving.isLeaving = false;
      if (leaving.open) leaving.grantAll(leaving.open);
    }
    return false;
  }

  #hasRoom(entry: ModelEntry): boolean {
    const { maxLoaded, maxBytes } = this.#options;
    const others = this.#entries().filter(
      (other) => other !== entry && (other.state === 'loaded' || other.state === 'unloading'),
    );
    if (maxLoaded > 0 && others.length >= maxLoaded) return false;
    const bytes = [entry, ...others].reduce((sum, other) => sum + (other.bytes ?? 0), 0);
    return maxBytes === 0 || bytes <= maxBytes;
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      const before = this.#onChange;
      this.#onChange = () => {
        this.#onChange = null;
        before?.();
        resolve();
      };
    });
  }
}

function noRoom({ maxLoaded, maxBytes }: LoaderLimits): OctavoError {
  const message = `there is no room for it: --max-loaded-models is ${maxLoaded}, --model-memory ${maxBytes}, and no other model can be unloaded`;
  return new OctavoError('model_unavailable', message);
}

/** What clients are told. The place of the model's files is the operator's affair. */
function loadError({ name, source }: ModelEntry, error: unknown): OctavoError {
  const text = error instanceof Error ? error.message : String(error);
  const places = source?.places() ?? [];
  const reason = places.reduce((rest, place) => rest.replaceAll(place, name), text);
  const message = `the model '${name}' cannot be loaded: ${reason}`;
  return new OctavoError('model_unavailable', message, { param: 'model', cause: error });
}
