import { OctavoError } from '../errors.js';

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
