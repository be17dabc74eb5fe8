import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { OctavoError } from '../../engine/errors.js';

type Environment = Readonly<Record<string, string | undefined>>;

/** What the environment says of the hub, under the names that the hub's own tools read. */
export interface HubSettings {
  /** Without a slash at the end. */
  readonly endpoint: string;
  readonly token: string | null;
  /** Where repositories are kept; shared with the hub's other tools. */
  readonly cacheDir: string;
  readonly offline: boolean;
}

/** @throws OctavoError `usage` for an HF_ENDPOINT that is no URL */
export async function readHubSettings(environment: Environment): Promise<HubSettings> {
  const home = environment['HF_HOME'] || join(cacheHome(environment), 'huggingface');
  const cache = environment['HF_HUB_CACHE'] || environment['HUGGINGFACE_HUB_CACHE'];
  return {
    endpoint: endpointOf(environment['HF_ENDPOINT'] || 'https://huggingface.co'),
    token: environment['HF_TOKEN']?.trim() || (await savedToken(environment, home)),
    cacheDir: resolve(cache || join(home, 'hub')),
    offline: /^(?:1|true|yes|on)$/i.test(environment['HF_HUB_OFFLINE'] ?? ''),
  };
}

function cacheHome(environment: Environment): string {
  const base = environment['XDG_CACHE_HOME'];
  return base && isAbsolute(base) ? base : join(homedir(), '.cache');
}

function endpointOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url?.protocol === 'https:' || url?.protocol === 'http:') return text.replace(/\/+$/, '');
  throw new OctavoError('usage', `HF_ENDPOINT ${text}: must be an http:// or https:// URL`, {
    param: 'HF_ENDPOINT',
  });
}

/** What `hf auth login` has left. */
async function savedToken(environment: Environment, home: string): Promise<string | null> {
  const file = environment['HF_TOKEN_PATH'] || join(home, 'token');
  const text = await readFile(file, 'utf8').catch(() => '');
  return text.trim() || null;
}
