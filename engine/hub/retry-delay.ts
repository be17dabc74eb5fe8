import type { Response } from 'undici';

/** A server that asks for a longer delay is not waited for. */
export const MAX_DELAY_MS = 60_000;

/** Whether the same request may succeed later. */
export function isTemporary(status: number): boolean {
  return status === 408 || status === 429 || status >= 500;
}

/**
 * The delay that a server asks for: `Retry-After` in seconds or as a date, or the hub's rate limit
 * (`RateLimit: "resolvers";r=0;t=55`, draft-ietf-httpapi-ratelimit-headers-09); 0 when it states
 * none.
 */
export function askedDelayMs({ headers, status }: Response, now: number): number {
  const after = headers.get('retry-after')?.trim() ?? '';
  if (/^\d+$/.test(after)) return Number(after) * 1000;
  const date = Date.parse(after);
  if (!Number.isNaN(date)) return Math.max(0, date - now);
  const [, remaining, reset] =
    /;\s*r=(\d+)\s*;\s*t=(\d+)/.exec(headers.get('ratelimit') ?? '') ?? [];
  return status === 429 && remaining === '0' ? Number(reset) * 1000 : 0;
}

/** Doubles with each attempt; the server's delay is used when it is longer. */
export function delayMs(attempt: number, askedMs: number): number {
  return Math.max(Math.min(500 * 2 ** (attempt - 1), 10_000), askedMs);
}
