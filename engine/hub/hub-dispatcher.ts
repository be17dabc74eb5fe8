import { Agent, type Dispatcher, EnvHttpProxyAgent } from 'undici';
import { OctavoError } from '../errors.js';

const CONNECT_MS = 10_000;

export type Environment = Readonly<Record<string, string | undefined>>;

/** Proxies that the environment states; empty strings for none. */
export interface ProxySettings {
  readonly httpProxy: string;
  readonly httpsProxy: string;
  readonly noProxy: string;
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

/** @param silenceMs milliseconds that a connection may stay without data */
export function hubDispatcher(proxies: ProxySettings, silenceMs: number): Dispatcher {
  const limits = {
    headersTimeout: silenceMs,
    bodyTimeout: silenceMs,
    connect: { timeout: CONNECT_MS },
  };
  if (proxies.httpProxy === '' && proxies.httpsProxy === '') return new Agent(limits);
  // Plain http is forwarded, not tunneled: many proxies tunnel only to port 443.
  return new EnvHttpProxyAgent({ ...limits, ...proxies, proxyTunnel: false });
}
