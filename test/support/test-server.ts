import type { AddressInfo } from 'node:net';
import OpenAI from 'openai';
import { pino } from 'pino';
import { type App, buildApp } from '../../server/app.js';
import type { AppContext } from '../../server/app-context.js';
import { type Clock, systemClock } from '../../server/clock.js';
import type { Engine } from '../../server/engine-port.js';
import type { InFlight } from '../../server/http/in-flight.js';
import type { ServedModel } from '../../server/text/served-model.js';
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
  readonly apiKeys?: string[];
  readonly settings?: Partial<AppContext['settings']>;
  readonly clock?: Clock;
  readonly bodyLimit?: number;
}

const running: App[] = [];

/** The real server, on a free port, in front of the given engine. */
export async function startTestServer(
  engine: Engine,
  options: TestServerOptions = {},
): Promise<TestServer> {
  const log: Record<string, unknown>[] = [];
  const logger = pino(
    { level: 'debug' },
    { write: (line: string) => void log.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const apiKey = options.apiKeys ?? [];
  const { app, inFlight } = buildApp({
    engine,
    model: options.model ?? byteModel,
    settings: {
      apiKey,
      enablePrefixCaching: true,
      pooling: 'last',
      toolCallParser: 'auto',
      reasoningParser: 'none',
      ...options.settings,
    },
    logger,
    clock: options.clock ?? systemClock,
    randomSeed: () => 7,
    ...(options.bodyLimit === undefined ? {} : { bodyLimit: options.bodyLimit }),
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

/** Waits for something that another part of the process is about to do. */
export async function eventually(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 3000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`did not happen within 3 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
