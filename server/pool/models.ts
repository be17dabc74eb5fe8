import type { FastifyReply } from 'fastify';
import type { Logger } from 'pino';
import { clip } from '../../engine/clip.js';
import type { Clock } from '../../engine/clock.js';
import { OctavoError } from '../../engine/errors.js';
import { closedBecause } from '../http/in-flight.js';
import type { Admission } from '../limits/admission.js';
import type { ModelParts, ModelService } from '../models.js';
import { assertGenerates } from './assert-generates.js';
import { Loader, type LoaderLimits } from './loader.js';
import { type KeepAlive, ModelEntry, type Waiter } from './model-entry.js';
import type { ModelSource } from './model-source.js';

export interface PoolOptions extends LoaderLimits {
  /** Of models for which no request says otherwise. */
  readonly keepAlive: KeepAlive;
  /** Requests that may wait for one model; 0: any number. */
  readonly maxWaiting: number;
  /** Milliseconds that a request may wait for its model. */
  readonly maxWaitMs: number;
  /** Finds a model that no entry is of, by the name that a request has; null: there is none. */
  readonly discover: (name: string) => ModelSource | null;
  /** Names of adapters that the first model has whenever it is loaded. */
  readonly adapters: readonly string[];
  readonly serve: (parts: ModelParts) => ModelService;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Hears of models that come and go. */
export interface ModelListener {
  loaded(service: ModelService): void;
  /** It has no requests any more, and its engine is about to be closed. */
  unloading(service: ModelService): void;
}

/** Who waits for a model. */
export interface Holder {
  /** Calls back, soon if it has left already. @returns what ends this */
  onLeave(listener: (reason: Error) => void): () => void;
}

/** A model that a caller uses: it is not unloaded meanwhile. */
export interface TakenModel {
  readonly service: ModelService;
  readonly release: () => void;
}

export function whileConnectedTo(reply: FastifyReply): Holder {
  return {
    onLeave: (listener) => {
      const leave = (): void => listener(closedBecause(reply));
      if (reply.raw.destroyed) queueMicrotask(leave);
      else reply.raw.once('close', leave);
      return () => void reply.raw.off('close', leave);
    },
  };
}

export function whileRuns(signal: AbortSignal): Holder {
  return {
    onLeave: (listener) => {
      const leave = (): void => listener(signal.reason as Error);
      if (signal.aborted) queueMicrotask(leave);
      else signal.addEventListener('abort', leave, { once: true });
      return () => signal.removeEventListener('abort', leave);
    },
  };
}

/**
 * The models of a server, by all of their names: loaded when they are asked for, unloaded when
 * no request asks for them, or when others need their room.
 */
export class Models {
  readonly #options: PoolOptions;
  readonly #entries: ModelEntry[] = [];
  readonly #byName = new Map<string, ModelEntry>();
  readonly #listeners: ModelListener[] = [];
  readonly #loader: Loader;

  /**
   * @param given the first is the default; parts stay loaded, and stay the caller's
   * @throws Error for a name that two models have
   */
  constructor(
    given: readonly [ModelParts | ModelSource, ...(ModelParts | ModelSource)[]],
    options: PoolOptions,
  ) {
    this.#options = options;
    this.#loader = new Loader(() => this.#entries, {
      ...options,
      told: {
        loaded: (service) => this.#listeners.forEach((listener) => listener.loaded(service)),
        unloading: (service) => this.#listeners.forEach((listener) => listener.unloading(service)),
      },
    });
    for (const model of given) this.add(model);
    const taken = options.adapters.find((name) => this.hasModel(name));
    if (taken !== undefined) {
      throw new OctavoError('usage', `--lora ${taken}: the model itself has this name`);
    }
  }

  /** In the order in which they were registered; the first is the default. */
  get all(): readonly ModelEntry[] {
    return this.#entries;
  }

  /** Of requests that name none. */
  get first(): ModelEntry {
    return this.#entries[0];
  }

  /** Those that are loaded. */
  get loaded(): readonly ModelService[] {
    return this.#entries.flatMap(({ service }) => service ?? []);
  }

  /**
   * `failed` when the server has nothing left to serve with: an engine has failed for good whose
   * model is the only one, or cannot be loaded again.
   */
  get state(): 'ready' | 'failed' {
    const isLost = ({ service, source }: ModelEntry): boolean =>
      service?.engine.state === 'failed' && (source === null || this.#entries.length === 1);
    return this.#entries.every(isLost) ? 'failed' : 'ready';
  }

  /** Tells of all that are loaded, now and later. */
  listen(listener: ModelListener): void {
    this.#listeners.push(listener);
    for (const service of this.loaded) listener.loaded(service);
  }

  /** @throws Error for a name that another model has */
  add(model: ModelParts | ModelSource): ModelEntry {
    const isSource = 'load' in model;
    const names = isSource ? model.names : model.model.names;
    const taken = names.find((name) => this.#byName.has(name));
    if (taken !== undefined) throw new Error(`two models are called ${taken}`);
    const { keepAlive, clock } = this.#options;
    const entry = new ModelEntry(
      names,
      isSource ? model : null,
      isSource ? keepAlive : Infinity,
      clock,
      this.#loader,
    );
    this.#entries.push(entry);
    for (const name of names) this.#byName.set(name, entry);
    const parts = isSource ? (model.loaded ?? null) : model;
    if (parts) this.#loader.adopt(entry, parts);
    return entry;
  }

  /**
   * The model that a request names, itself or an adapter of it. Ollama's clients write
   * `name:latest`.
   *
   * @param name absent, or null: the first model
   * @throws OctavoError `model_not_found`
   */
  find(name: string | null | undefined): ModelEntry {
    if (name === undefined || name === null) return this.first;
    const found = this.#modelOf(name) ?? this.#withAdapter(name);
    if (found) return found;
    const source = this.#options.discover(name);
    if (source) return this.add(source);
    throw notFound(name);
  }

  /** Whether a model, not an adapter, is called so. */
  hasModel(name: string): boolean {
    return this.#modelOf(name) !== undefined;
  }

  /**
   * The model that a request names, to be used until the reply's connection has closed or its
   * answer has been sent. Loads it if it is not loaded: the request waits.
   *
   * @param name as of `find`
   * @throws OctavoError `model_not_found`, `model_unavailable` when it cannot be loaded,
   *   `overloaded` when too many wait for it, or for too long
   */
  async use(name: string | null | undefined, reply: FastifyReply): Promise<ModelService> {
    const { service, release } = await this.take(name, whileConnectedTo(reply));
    if (reply.raw.destroyed) release();
    else reply.raw.once('close', release);
    return service;
  }

  /**
   * As `use`, for what only a model that generates can do.
   *
   * @throws OctavoError as `use`; `task_unsupported` for an encoder
   */
  async useGenerator(name: string | null | undefined, reply: FastifyReply): Promise<ModelService> {
    const service = await this.use(name, reply);
    assertGenerates(service);
    return service;
  }

  /**
   * As `use`, until `release` is called.
   *
   * @throws OctavoError as `use`
   */
  async take(name: string | null | undefined, holder: Holder): Promise<TakenModel> {
    const entry = this.find(name);
    const { open } = entry;
    // A failed engine of a model that can be loaded again is one that is not loaded.
    const isOpen = open && (entry.source === null || open.engine.state !== 'failed');
    const taken = isOpen
      ? { service: open, release: entry.take() }
      : await this.#wait(entry, holder);
    const isModel = name === null || name === undefined || this.hasModel(name);
    return isModel ? taken : adapted(taken, name);
  }

  #modelOf(name: string): ModelEntry | undefined {
    return this.#byName.get(name) ?? this.#byName.get(name.replace(/:latest$/, ''));
  }

  /** The model with an adapter of this name, loaded or to be loaded with it. */
  #withAdapter(name: string): ModelEntry | undefined {
    const isLoaded = ({ service }: ModelEntry): boolean =>
      service?.engine.adapters?.list.some((adapter) => adapter.name === name) ?? false;
    const found = this.#entries.find(isLoaded);
    if (found || this.first.service !== null) return found;
    return this.#options.adapters.includes(name) ? this.first : undefined;
  }

  /** Forgets a model that is not loaded. */
  remove(entry: ModelEntry): void {
    this.#entries.splice(this.#entries.indexOf(entry), 1);
    for (const name of entry.names) this.#byName.delete(name);
  }

  /** Unloads a model when its requests have ended; new ones have it loaded again. */
  unload(entry: ModelEntry): Promise<void> {
    return this.#loader.letGo(entry, 'as asked');
  }

  /** Unloads all that can be loaded again. */
  async close(): Promise<void> {
    const own = this.#entries.filter(({ source }) => source !== null);
    await Promise.all(own.map((entry) => this.#loader.unload(entry, 'the server ends')));
  }

  /**
   * What can be said before the body, and with it the model, is known. As `Admission.assertRoom`,
   * for all models.
   *
   * @throws OctavoError `overloaded` when none of them has room
   */
  assertRoom(...asker: Parameters<Admission['assertRoom']>): void {
    let refusal: unknown = null;
    for (const { service } of this.#entries) {
      if (service === null) return;
      try {
        service.admission.assertRoom(...asker);
        return;
      } catch (error) {
        refusal ??= error;
      }
    }
    throw refusal;
  }

  #wait(entry: ModelEntry, holder: Holder): Promise<TakenModel> {
    const { maxWaiting, maxWaitMs, clock } = this.#options;
    const retry = { retryAfterSeconds: 5 };
    if (maxWaiting > 0 && entry.waiters.size >= maxWaiting) {
      const message = `${maxWaiting} requests wait for the model '${entry.name}' to be loaded; no more may`;
      throw new OctavoError('overloaded', message, retry);
    }
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        entry.waiters.delete(waiter);
        timer.cancel();
        forget();
        this.#loader.changed();
      };
      const waiter: Waiter = {
        grant: (service) => {
          settle();
          resolve({ service, release: entry.take() });
        },
        fail: (error) => {
          settle();
          reject(error);
        },
      };
      const timer = clock.startTimer(() => {
        const message = `the model '${entry.name}' was not loaded within ${maxWaitMs / 1000} s`;
        waiter.fail(new OctavoError('overloaded', message, retry));
      }, maxWaitMs);
      entry.waiters.add(waiter);
      const forget = holder.onLeave((reason) => waiter.fail(reason));
      this.#loader.want(entry);
    });
  }
}

/** The model as it is with an adapter. */
function adapted(taken: TakenModel, name: string): TakenModel {
  const { service, release } = taken;
  const adapters = service.engine.adapters?.list ?? [];
  if (adapters.some((adapter) => adapter.name === name)) {
    return { service: { ...service, adapter: name }, release };
  }
  release();
  throw notFound(name);
}

function notFound(name: string): OctavoError {
  return new OctavoError('model_not_found', `the model '${clip(name)}' does not exist`, {
    param: 'model',
  });
}
