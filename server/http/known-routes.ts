import type { FastifyInstance } from 'fastify';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';

/**
 * Collects the routes that are registered after this call.
 *
 * @returns a function that gives the methods that a path has, for the Allow header
 */
export function collectMethods(app: FastifyInstance): (url: string) => string[] {
  const routes: { url: string; pattern: RegExp; methods: string[] }[] = [];
  app.addHook('onRoute', ({ url, method }) => {
    const pattern = url
      .replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&')
      .replaceAll(/:\w+/g, '[^/]+')
      .replaceAll('*', '.*');
    routes.push({ url, pattern: new RegExp(`^${pattern}$`), methods: [method].flat() });
  });
  return (url) => {
    const path = url.split('?')[0] ?? '';
    // A path that stands as it is in a route is no id of another one.
    const exact = routes.filter(({ url: own }) => own === path);
    const found = exact.length > 0 ? exact : routes.filter(({ pattern }) => pattern.test(path));
    return [...new Set(found.flatMap(({ methods }) => methods))].sort();
  };
}

/**
 * What is wrong with a request that no route takes.
 *
 * @param methods that its path has; none: there is no such path
 */
export function noRoute(method: string, path: string, methods: readonly string[]): OctavoError {
  const what = `${clip(method)} ${clip(path)}`;
  if (methods.length === 0) return new OctavoError('route_not_found', `no such route: ${what}`);
  return new OctavoError(
    'method_not_allowed',
    `${what} is not allowed; this route takes ${methods.join(', ')}`,
  );
}
