import type { Response } from 'undici';

/** A server that asks to be left alone for longer is not waited for. */
export const MAX_DELAY_MS = 60_000;

/** Whether the same request may succeed a little later. */
export function isTemporary(status: number): boolean {
  return status === 408 || status === 429 || status >= 500;
}

/**
 * How long a server asks to be left alone: `Retry-After` in seconds or as a date, or what the hub
 * says of its rate limit (`RateLimit: "resolvers";r=0;t=55`,
 * draft-ietf-httpapi-ratelimit-headers-09); 0 when it does not say.
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

/** Twice as long each time; what a server asks for counts where it is more. */
export function delayMs(attempt: number, askedMs: number): number {
  return Math.max(Math.min(500 * 2 ** (attempt - 1), 10_000), askedMs);
}
