import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { type FetchOptions, fetchModel } from '../../../engine/hub/fetch-model.js';
import type { HubId } from '../../../engine/hub/hub-id.js';
import type { HubSettings } from '../../../engine/hub/hub-settings.js';
import { smallRepository } from '../../support/hub-models.js';
import { type HubRepository, HubServer } from '../../support/hub-server.js';

export const ID: HubId = { repo: 'octavo/small', revision: 'main' };
export const TOKEN = 'hf_right';

/** A hub with one model and an empty cache, both gone when the test is over. */
export interface TestHub {
  readonly hub: HubServer;
  readonly repository: HubRepository;
  readonly settings: HubSettings;
  /** `models--octavo--small` in the cache. */
  readonly dir: string;
  readonly log: string[];
  /** Pauses between attempts, in milliseconds: none of them is waited for. */
  readonly waits: number[];
  readonly fetch: (
    settings?: Partial<HubSettings>,
    options?: Partial<FetchOptions>,
    id?: HubId,
  ) => Promise<string>;
}

export async function startTestHub(repository = smallRepository()): Promise<TestHub> {
  const hub = await HubServer.start({ [ID.repo]: repository });
  const cacheDir = mkdtempSync(join(tmpdir(), 'octavo-hub-'));
  onTestFinished(() => {
    hub.close();
    rmSync(cacheDir, { recursive: true, force: true });
  });
  const settings: HubSettings = {
    endpoint: hub.url,
    token: null,
    cacheDir,
    offline: false,
    proxies: { httpProxy: '', httpsProxy: '', noProxy: '' },
  };
  const log: string[] = [];
  const waits: number[] = [];
  const usual: FetchOptions = {
    settings,
    dtype: 'auto',
    observer: { log: (line) => void log.push(line), progress: () => undefined },
    wait: (ms) => {
      waits.push(ms);
      return new Promise((resolve) => setImmediate(resolve));
    },
  };
  return {
    hub,
    repository,
    settings,
    dir: join(cacheDir, 'models--octavo--small'),
    log,
    waits,
    fetch: (changed = {}, options = {}, id = ID) =>
      fetchModel(id, { ...usual, ...options, settings: { ...settings, ...changed } }).then(
        ({ dir }) => dir,
      ),
  };
}

export interface HubFailure {
  readonly kind: string;
  readonly message: string;
}

/** The error that a download ends with: one line. */
export async function failureOf(download: Promise<unknown>): Promise<HubFailure> {
  const error: unknown = await download.catch((e: unknown) => e);
  expect(error).toMatchObject({ name: 'OctavoError' });
  const { kind, message } = error as HubFailure;
  expect(message).not.toContain('\n');
  return { kind, message };
}
