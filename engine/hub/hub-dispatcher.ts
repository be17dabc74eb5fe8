import { Agent, type Dispatcher, EnvHttpProxyAgent } from 'undici';
import type { ProxySettings } from './proxy-settings.js';

const CONNECT_MS = 10_000;

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
