import type { Scope } from './api-key.js';

/** All other routes need a key, so that a new route is guarded by default. */
const OPEN_ROUTES: ReadonlySet<string> = new Set([
  '/health',
  '/metrics',
  '/version',
  '/openapi.json',
  // Pages contain no data; they request it with the key.
  '/',
  '/dashboard',
  '/docs',
  '/pages/:file',
]);

/** Routes that any key may ask: what there is, and what the key itself has used. */
const OF_ANY_KEY: ReadonlySet<string> = new Set([
  '/v1/models',
  '/v1/models/:id',
  '/v1/usage',
  '/api/version',
  '/api/tags',
  '/api/show',
]);

const OF_METRICS: ReadonlySet<string> = new Set([
  '/metrics',
  '/dashboard/events',
  '/load',
  '/get_load',
  '/v1/loads',
  '/server_info',
  '/get_server_info',
  '/model_info',
  '/get_model_info',
  '/kv_event_sources',
  '/health_generate',
  '/is_sleeping',
  '/api/ps',
]);

const OF_MANAGE: ReadonlySet<string> = new Set([
  '/v1/load_lora_adapter',
  '/v1/unload_lora_adapter',
  '/v1/cache/prefixes',
  '/v1/cache/prefixes/:name',
  '/reset_prefix_cache',
  '/sleep',
  '/wake_up',
  '/api/pull',
  '/api/delete',
]);

/**
 * @param route as it was registered
 * @param hasNames whether keys have names: `/metrics` then tells of each of them
 */
export function isGuardedRoute(route: string, hasNames: boolean): boolean {
  return !OPEN_ROUTES.has(route) || (hasNames && route === '/metrics');
}

/** The scope that a route needs: inference, unless it is listed. Null: any. */
export function scopeOf(route: string): Scope | null {
  if (OF_ANY_KEY.has(route)) return null;
  if (OF_METRICS.has(route)) return 'metrics';
  return OF_MANAGE.has(route) ? 'manage' : 'inference';
}
