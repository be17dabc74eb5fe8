import { createEngine } from '../../engine/index.js';
import { partsOf } from '../../engine/library/octavo-engine.js';
import type { Settings } from '../../server/config/settings.js';
import { startTestServer, stopTestServers, type TestServer } from './test-server.js';

export interface ServedTiny extends TestServer {
  /** For `afterAll`. */
  readonly stop: () => Promise<void>;
}

/** The embedded model's engine behind the real server, for tests of whole answers. */
export async function serveTiny(settings: Partial<Settings> = {}): Promise<ServedTiny> {
  const engine = await createEngine({ kvCacheMemory: 64 * 2 ** 20, threads: 1 });
  const { port, model, prompts } = partsOf(engine);
  const server = await startTestServer(port, { model, prompts, settings });
  return {
    ...server,
    stop: async () => {
      await stopTestServers();
      await engine.close();
    },
  };
}
