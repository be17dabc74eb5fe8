import { randomInt } from 'node:crypto';
import { type Logger, pino } from 'pino';
import { systemClock } from '../../engine/clock.js';
import { OctavoError } from '../../engine/errors.js';
import { type CreateEngineOptions, createEngine } from '../../engine/library/create-engine.js';
import { OctavoEngine, partsOf } from '../../engine/library/octavo-engine.js';
import { checkOptions } from '../../engine/library/options.js';
import { ENGINE_SETTINGS } from '../../engine/settings.js';
import { type App, type BuiltApp, buildApp } from '../app.js';
import { type Settings, SettingsSchema } from '../config/settings.js';
import { drain } from '../lifecycle.js';

/**
 * Settings of the server that apply inside another one. Bounds and defaults are those of the flags.
 */
export type MountSettings = Partial<
  Pick<
    Settings,
    | 'apiKey'
    | 'allowedHosts'
    | 'maxBodySize'
    | 'maxUnreadOutput'
    | 'maxOutputMemory'
    | 'shutdownTimeout'
    | 'maxStoredResponses'
    | 'storedResponsesMemory'
    | 'maxQueuedRequests'
    | 'maxQueuedTokens'
    | 'maxQueueTime'
    | 'maxPromptTokens'
    | 'requestTimeout'
    | 'rateLimitRequests'
    | 'rateLimitTokens'
    | 'logPrompts'
    | 'metricsPrefix'
  >
>;

const MOUNT_SETTINGS: readonly (keyof MountSettings)[] = [
  'apiKey',
  'allowedHosts',
  'maxBodySize',
  'maxUnreadOutput',
  'maxOutputMemory',
  'shutdownTimeout',
  'maxStoredResponses',
  'storedResponsesMemory',
  'maxQueuedRequests',
  'maxQueuedTokens',
  'maxQueueTime',
  'maxPromptTokens',
  'requestTimeout',
  'rateLimitRequests',
  'rateLimitTokens',
  'logPrompts',
  'metricsPrefix',
];

/**
 * The engine to serve (which the caller owns), or options to create one; without options, the
 * embedded model's.
 */
export interface MountOptions extends MountSettings, CreateEngineOptions {
  readonly engine?: OctavoEngine;
}

/** The whole API and its pages, to be reached through another server. */
export class MountedServer {
  /** Resolves when requests are served; rejects with the reason why the engine cannot be loaded. */
  readonly ready: Promise<App>;
  /** Bytes of a request's body. */
  readonly maxBodySize: number;
  readonly #shutdownTimeout: number;
  readonly #logger: Logger;
  #built: BuiltApp | null = null;
  #own: OctavoEngine | null = null;
  #failure: OctavoError | null = null;
  #closing: Promise<void> | null = null;

  /**
   * @param mountPath path at which it is reached, such as `/llm`; '' at the root. Requests arrive
   *   without it
   * @param logger null for no logging
   * @param prepare called with the app before it is ready
   * @throws OctavoError `invalid_request` for options that are not allowed
   */
  constructor(
    options: MountOptions,
    mountPath: string,
    logger: Logger | null,
    prepare: (app: App) => void = () => undefined,
  ) {
    const { engine, log, progress, ...given } = options;
    const [own, engineOptions] = split(given);
    if (engine !== undefined) {
      if (!(engine instanceof OctavoEngine)) {
        const message = 'engine must be what createEngine has given';
        throw new OctavoError('invalid_request', message, { param: 'engine' });
      }
      const [superfluous] = Object.keys(engineOptions);
      if (superfluous !== undefined) {
        const message = `${superfluous} is allowed only without engine, which was started with its own`;
        throw new OctavoError('invalid_request', message, { param: superfluous });
      }
    }
    const settings = { ...defaultSettings(), allowedHosts: ['*'], ...own };
    this.maxBodySize = settings.maxBodySize;
    this.#shutdownTimeout = settings.shutdownTimeout;
    this.#logger = logger ?? pino({ level: 'silent' });
    const build = (made: OctavoEngine): BuiltApp => {
      const { port, model, prompts, grammars, settings: itsSettings } = partsOf(made);
      const { model: _itsOwn, ...engineSettings } = itsSettings;
      const all = { ...settings, ...engineSettings };
      const built = buildApp({
        models: [{ engine: port, model, prompts, grammars, settings: all }],
        settings: all,
        redis: null,
        logger: this.#logger,
        clock: systemClock,
        randomSeed: () => randomInt(2 ** 32),
        mountPath,
      });
      prepare(built.app);
      return built;
    };
    this.ready = this.#start(
      engine ?? null,
      { ...engineOptions, ...watchers(log, progress) },
      build,
    );
    // Requests and callers that await `ready` get the error.
    this.ready.catch(() => undefined);
  }

  /**
   * The app that answers requests.
   *
   * @throws OctavoError `loading`, or the reason why the engine cannot be loaded
   */
  get app(): App {
    if (this.#failure) throw this.#failure;
    if (!this.#built) throw new OctavoError('loading', 'the model is being loaded');
    return this.#built.app;
  }

  /**
   * Refuses new requests, lets running ones finish within the shutdown timeout, and closes an
   * engine that it created. Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #start(
    given: OctavoEngine | null,
    options: CreateEngineOptions,
    build: (engine: OctavoEngine) => BuiltApp,
  ): Promise<App> {
    try {
      if (!given) this.#own = await createEngine(options);
      const built = build(given ?? (this.#own as OctavoEngine));
      await built.app.ready();
      this.#built = built;
      return built.app;
    } catch (error) {
      this.#logger.error({ err: error }, 'octavo: the model cannot be served');
      const reason = error instanceof Error ? error.message : String(error);
      this.#failure = new OctavoError('engine_failed', reason, { cause: error });
      throw error;
    }
  }

  async #close(): Promise<void> {
    await this.ready.catch(() => undefined);
    if (this.#built) {
      await drain({
        inFlight: this.#built.inFlight,
        logger: this.#logger,
        clock: systemClock,
        shutdownTimeoutSeconds: this.#shutdownTimeout,
      });
      await this.#built.app.close();
    }
    await this.#own?.close();
  }
}

const watchers = (
  log: MountOptions['log'],
  progress: MountOptions['progress'],
): Pick<CreateEngineOptions, 'log' | 'progress'> => ({
  ...(log && { log }),
  ...(progress && { progress }),
});

/** @throws OctavoError `invalid_request` */
function split(
  given: Omit<MountOptions, 'engine' | 'log' | 'progress'>,
): [MountSettings, CreateEngineOptions] {
  const entries = Object.entries(given).filter(([, value]) => value !== undefined);
  const isOwn = (name: string): boolean => (MOUNT_SETTINGS as readonly string[]).includes(name);
  const own = Object.fromEntries(entries.filter(([name]) => isOwn(name))) as MountSettings;
  const others = Object.fromEntries(entries.filter(([name]) => !isOwn(name)));
  checkOptions(own, SettingsSchema.properties);
  const { servedModelName, ...rest } = others as CreateEngineOptions;
  const names = typeof servedModelName === 'string' ? [servedModelName] : servedModelName;
  checkOptions({ ...rest, servedModelName: names }, ENGINE_SETTINGS);
  return [own, others];
}

function defaultSettings(): Settings {
  const defaults = Object.entries(SettingsSchema.properties).flatMap(([name, schema]) => {
    const { default: value } = schema as { default?: unknown };
    return value === undefined ? [] : [[name, value] as const];
  });
  return Object.fromEntries(defaults) as unknown as Settings;
}
