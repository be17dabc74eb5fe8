import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { clip } from '../clip.js';
import { OctavoError } from '../errors.js';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Proxies that the environment states; empty strings for none. */
export interface ProxySettings {
  readonly httpProxy: string;
  readonly httpsProxy: string;
  readonly noProxy: string;
}

export interface HubToken {
  readonly value: string;
  /** Where the token was found, for messages. */
  readonly source: string;
}

/** Settings of the hub from the environment, under the names that the hub's own tools use. */
export interface HubSettings {
  /** Without a trailing slash. */
  readonly endpoint: string;
  readonly token: HubToken | null;
  /** Directory of repositories; shared with the hub's other tools. */
  readonly cacheDir: string;
  readonly offline: boolean;
  readonly proxies: ProxySettings;
}

/**
 * @throws OctavoError `usage` for an HF_ENDPOINT or proxy that is no URL, a token that no header
 *   can carry
 */
export async function readHubSettings(environment: Environment): Promise<HubSettings> {
  const home = expand(environment['HF_HOME']) ?? join(cacheHome(environment), 'huggingface');
  const cache = expand(environment['HF_HUB_CACHE'] || environment['HUGGINGFACE_HUB_CACHE']);
  return {
    endpoint: endpointOf(environment['HF_ENDPOINT'] || 'https://huggingface.co'),
    token: await findToken(environment, home),
    cacheDir: resolve(cache ?? join(home, 'hub')),
    offline: isTrue(environment['HF_HUB_OFFLINE'] || environment['TRANSFORMERS_OFFLINE']),
    proxies: readProxySettings(environment),
  };
}

function isTrue(text: string | undefined): boolean {
  return /^(?:1|true|yes|on)$/i.test(text ?? '');
}

/** Expands `~`, which shells do, but files of environment variables do not. */
function expand(path: string | undefined): string | null {
  if (!path) return null;
  return /^~(?=[/\\]|$)/.test(path) ? join(homedir(), path.slice(1)) : path;
}

function cacheHome(environment: Environment): string {
  const base = environment['XDG_CACHE_HOME'];
  return base && isAbsolute(base) ? base : join(homedir(), '.cache');
}

function endpointOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  const isHttp = url?.protocol === 'https:' || url?.protocol === 'http:';
  if (isHttp && url.username === '' && url.password === '' && url.search === '') {
    return text.replace(/\/+$/, '');
  }
  const allowed = 'must be an http:// or https:// URL without a user or a query';
  throw new OctavoError('usage', `HF_ENDPOINT ${clip(text)}: ${allowed}`, { param: 'HF_ENDPOINT' });
}

/** The token of the environment, or else the one that `hf auth login` stored. */
async function findToken(environment: Environment, home: string): Promise<HubToken | null> {
  if (isTrue(environment['HF_HUB_DISABLE_IMPLICIT_TOKEN'])) return null;
  for (const name of ['HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN']) {
    const token = asToken(environment[name], name);
    if (token) return token;
  }
  const file = expand(environment['HF_TOKEN_PATH']) ?? join(home, 'token');
  return asToken(await readFile(file, 'utf8').catch(() => ''), file);
}

/** Error messages never contain the token, because they are logged. */
function asToken(text: string | undefined, source: string): HubToken | null {
  const value = text?.trim() ?? '';
  if (value === '') return null;
  if (/^[\x21-\x7e]+$/.test(value)) return { value, source };
  throw new OctavoError('usage', `${source}: a token is one line of ASCII without spaces`, {
    param: source,
  });
}

/**
 * Reads `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` as curl and newer versions of Node do:
 * lower-case names take precedence. Node 20 itself supports none of them.
 *
 * @throws OctavoError `usage` for a proxy that is no http or https URL
 */
export function readProxySettings(environment: Environment): ProxySettings {
  const read = (name: string): string => {
    const value = environment[name.toLowerCase()] || environment[name] || '';
    if (value === '' || /^https?:$/.test(URL.canParse(value) ? new URL(value).protocol : '')) {
      return value;
    }
    throw new OctavoError('usage', `${name}: must be an http:// or https:// URL`, { param: name });
  };
  const httpProxy = read('HTTP_PROXY');
  return {
    httpProxy,
    httpsProxy: read('HTTPS_PROXY'),
    noProxy: environment['no_proxy'] || environment['NO_PROXY'] || '',
  };
}
