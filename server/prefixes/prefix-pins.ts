import type { Logger } from 'pino';
import { assertEngineReady } from '../../engine/client/engine-state.js';
import { clip } from '../../engine/clip.js';
import type { Clock } from '../../engine/clock.js';
import { OctavoError } from '../../engine/errors.js';
import type { Asker } from '../../engine/job-pool/job-pool.js';
import type { SequenceOutput } from '../../engine/protocol/outputs.js';
import { type EngineRequest, PLAIN_REQUEST } from '../../engine/protocol/request.js';
import { GREEDY } from '../../engine/sampling/sampling-params.js';
import type { SequenceId } from '../../scheduler/ids.js';
import type { ModelService } from '../models.js';
import { assertGenerates } from '../pool/assert-generates.js';
import { type Models, whileRuns } from '../pool/models.js';
import { type PrefixBody, prefixTokens } from './prefix-fields.js';

/** After all requests of clients, where priorities count. */
const LAST = 2 ** 31 - 1;

/** A pinned prefix as the API shows it. */
export interface PinnedPrefix {
  readonly object: 'cache.prefix';
  readonly name: string;
  readonly model: string;
  /** When it was pinned, seconds since 1970. */
  readonly created: number;
  /** Of the whole prefix. */
  readonly tokens: number;
  /** Those that stay: whole blocks. */
  readonly pinned_tokens: number;
  /** Those that did not have to be computed. */
  readonly cached_tokens: number;
}

interface Pin {
  /** Made again with it when the engine is replaced, or the model loaded again. */
  readonly request: Omit<EngineRequest, 'ids'>;
  readonly shown: PinnedPrefix;
}

/**
 * The named prefixes that stay in the KV caches of a server. They end with the process; those of a
 * model that was unloaded come back with it.
 */
export class PrefixPins {
  readonly #models: Models;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #pins = new Map<string, Pin>();
  /** One is computed at a time, so that they do not take the engine from all others. */
  #last: Promise<unknown> = Promise.resolve();
  #computed = 0;

  constructor(models: Models, clock: Clock, logger: Logger) {
    this.#models = models;
    this.#clock = clock;
    this.#logger = logger;
    models.listen({
      loaded: (service) => {
        service.engine.onRestart?.(() => void this.#warmAgain(service));
        void this.#warmAgain(service);
      },
      unloading: () => undefined,
    });
  }

  /** In the order in which they were pinned. */
  list(): PinnedPrefix[] {
    return [...this.#pins.values()].map(({ shown }) => shown);
  }

  /**
   * Computes a prefix, as a request that comes last, and pins it. If its name stands for another
   * one, that is let go when the new one is there.
   *
   * @throws OctavoError `model_not_found`, `pinned_prefixes_full`, `invalid_request` for a prefix
   *   without a whole block, `context_length_exceeded`, `engine_failed`; the reason of the signal
   */
  async warm(body: PrefixBody, asker: Asker): Promise<PinnedPrefix> {
    const { service, release } = await this.#models.take(body.model, whileRuns(asker.signal));
    try {
      return await this.#warm(body, service, asker);
    } finally {
      release();
    }
  }

  async #warm(body: PrefixBody, service: ModelService, asker: Asker): Promise<PinnedPrefix> {
    const { engine, settings, adapter } = service;
    assertGenerates(service);
    assertEngineReady(engine);
    if (!settings.enablePrefixCaching) {
      const message = '--no-enable-prefix-caching: the server caches no prefixes';
      throw new OctavoError('invalid_request', message, { param: 'name' });
    }
    const tokens = await prefixTokens(body, service, asker);
    const { blockSize } = engine.info;
    const whole = Math.floor(tokens.length / blockSize) * blockSize;
    if (whole === 0) {
      const message = `the prefix has ${tokens.length} tokens: only whole blocks of ${blockSize} can be pinned`;
      throw new OctavoError('invalid_request', message, {
        param: body.prompt ? 'prompt' : 'messages',
      });
    }
    const request = {
      ...PLAIN_REQUEST,
      promptTokenIds: tokens.slice(0, whole),
      maxTokens: 0,
      stopTokenIds: [],
      sampling: GREEDY,
      priority: LAST,
      adapter,
      cacheSalt: body.cache_salt ?? null,
      pin: body.name,
    };
    const { pinnedTokens, cachedTokens } = await this.#inTurn(() =>
      this.#compute(service, request, asker.signal),
    );
    const before = this.#pins.get(body.name);
    if (before && before.shown.model !== service.name) this.#letGo(before);
    this.#pins.delete(body.name);
    const shown: PinnedPrefix = {
      object: 'cache.prefix',
      name: body.name,
      model: service.name,
      created: this.#clock.unixSeconds(),
      tokens: tokens.length,
      pinned_tokens: pinnedTokens,
      cached_tokens: cachedTokens,
    };
    this.#pins.set(body.name, { request, shown });
    return shown;
  }

  /** @throws OctavoError `pinned_prefix_not_found` */
  unpin(name: string): void {
    const pin = this.#pins.get(name);
    if (!pin) {
      throw new OctavoError('pinned_prefix_not_found', `no prefix is pinned as '${clip(name)}'`);
    }
    this.#pins.delete(name);
    this.#letGo(pin);
  }

  /** The model's cache has been reset, and its pins with it. */
  forget(service: ModelService): void {
    for (const [name, { shown }] of this.#pins) {
      if (shown.model === service.name) this.#pins.delete(name);
    }
  }

  /** In the cache of its model, if that is loaded. */
  #letGo({ shown }: Pin): void {
    const service = this.#models.loaded.find(({ name }) => name === shown.model);
    service?.engine.unpin(shown.name);
  }

  /** The cache of a new engine is empty: its prefixes are computed again. */
  async #warmAgain(service: ModelService): Promise<void> {
    const own = [...this.#pins].filter(([, { shown }]) => shown.model === service.name);
    for (const [name, { request }] of own) {
      const { signal } = new AbortController();
      await this.#inTurn(() => this.#compute(service, request, signal)).catch((error: unknown) => {
        this.#pins.delete(name);
        this.#logger.warn({ err: error }, `octavo: the prefix ${name} is not pinned any more`);
      });
    }
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(work, work);
    this.#last = result;
    return result;
  }

  async #compute(
    { engine }: ModelService,
    request: Omit<EngineRequest, 'ids'>,
    signal: AbortSignal,
  ): Promise<Required<Pick<SequenceOutput, 'pinnedTokens' | 'cachedTokens'>>> {
    signal.throwIfAborted();
    const ids = [`pin-${this.#computed++}` as SequenceId];
    const [outputs] = engine.submit({ ...request, ids }, signal);
    for await (const { finishReason, pinnedTokens = 0, cachedTokens } of outputs) {
      signal.throwIfAborted();
      if (finishReason === null) continue;
      if (pinnedTokens > 0) return { pinnedTokens, cachedTokens };
    }
    const message = 'other prefixes were pinned meanwhile, and this one does not fit any more';
    throw new OctavoError('pinned_prefixes_full', message);
  }
}
