import type { AddressInfo } from 'node:net';
import type { Redis } from 'ioredis';
import OpenAI from 'openai';
import { pino } from 'pino';
import type { Engine } from '../../engine/client/engine-port.js';
import { type Clock, systemClock } from '../../engine/clock.js';
import { InlinePrompts, type PromptMaker } from '../../engine/generation/prompts/prompt-maker.js';
import { GrammarChecker } from '../../engine/grammar/grammar-checker.js';
import type { ServedModel } from '../../engine/text/served-model.js';
import { type App, buildApp } from '../../server/app.js';
import { loadSettings } from '../../server/config/load-settings.js';
import type { Settings } from '../../server/config/settings.js';
import type { InFlight } from '../../server/http/in-flight.js';
import type { KeyTable } from '../../server/keys/key-table.js';
import type { ModelSource } from '../../server/pool/model-source.js';
import type { RequestTracer } from '../../server/tracing/request-tracer.js';
import { byteModel } from './byte-model.js';

export interface TestServer {
  readonly app: App;
  readonly inFlight: InFlight;
  readonly url: string;
  readonly port: number;
  readonly client: OpenAI;
  /** Log lines, parsed. */
  readonly log: Record<string, unknown>[];
  readonly post: (
    path: string,
    body: unknown,
    headers?: Record<string, string>,
  ) => Promise<Response>;
}

export interface TestServerOptions {
  readonly model?: ServedModel;
  /** Default: on the server's thread, because most test models have no files. */
  readonly prompts?: PromptMaker;
  /** Further models of the same server. */
  readonly more?: readonly { readonly engine: Engine; readonly model: ServedModel }[];
  /** Models that are loaded when they are asked for. */
  readonly sources?: readonly ModelSource[];
  readonly apiKeys?: string[];
  readonly keys?: KeyTable;
  readonly clock?: Clock;
  readonly settings?: Partial<Settings>;
  readonly redis?: Redis;
  readonly tracer?: RequestTracer;
}

const running: App[] = [];

/**
 * One for all servers of a test file: its threads take a while to start, and keep no process alive.
 */
const grammars = new GrammarChecker();

/**
 * The real server, on a free port, in front of the given engine; null: of the sources alone.
 */
export async function startTestServer(
  engine: Engine | null,
  options: TestServerOptions = {},
): Promise<TestServer> {
  const log: Record<string, unknown>[] = [];
  const logger = pino(
    { level: 'debug' },
    { write: (line: string) => void log.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const apiKey = options.apiKeys ?? [];
  const settings = { ...loadSettings({}, {}), apiKey, ...options.settings };
  const more = (options.more ?? []).map(({ engine: other, model }) => ({
    engine: other,
    model,
    prompts: new InlinePrompts(model),
    grammars,
    settings,
  }));
  const { model = byteModel, prompts = new InlinePrompts(model) } = options;
  const own = engine === null ? [] : [{ engine, model, prompts, grammars, settings }];
  const all = [...own, ...more, ...(options.sources ?? [])];
  const { app, inFlight } = buildApp({
    models: all as [(typeof all)[number], ...typeof all],
    settings,
    ...(options.keys && { keys: options.keys }),
    redis: options.redis ?? null,
    tracer: options.tracer ?? null,
    logger,
    clock: options.clock ?? systemClock,
    randomSeed: () => 7,
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  running.push(app);
  const { port } = app.server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  const client = new OpenAI({
    baseURL: `${url}/v1`,
    apiKey: apiKey[0] ?? 'none',
    maxRetries: 0,
  });
  const post: TestServer['post'] = (path, body, headers = {}) =>
    fetch(url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  return { app, inFlight, url, port, client, log, post };
}

/** For `afterEach`. */
export async function stopTestServers(): Promise<void> {
  for (const app of running.splice(0)) {
    app.server.closeAllConnections();
    await app.close();
  }
}

export { eventually } from './eventually.js';
