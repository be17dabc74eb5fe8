import type { IncomingMessage } from 'node:http';

/** An address without the path that it was reached below; others are left as they are. */
export function within(url: string, rootPath: string): string {
  if (!url.startsWith(rootPath)) return url;
  const rest = url.slice(rootPath.length);
  if (rest.startsWith('/')) return rest;
  return rest === '' || rest.startsWith('?') ? `/${rest}` : url;
}

/**
 * Fastify's `rewriteUrl` for a server behind a proxy: most proxies remove the path that they serve
 * it below, some leave it, and clients of the machine itself never had it.
 */
export const withoutRoot =
  (rootPath: string): ((request: IncomingMessage) => string) =>
  ({ url = '/' }) =>
    within(url, rootPath);
