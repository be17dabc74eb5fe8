import type { KeepAlive } from './model-entry.js';

/** Milliseconds of Go's units of time, in which Ollama's clients write. */
const UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** What may be said, for messages. */
export const KEEP_ALIVE_FORM = 'a time such as 5m, 30s or 1h30m, or seconds; -1 for always';

const PARTS = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/;

/**
 * For how long a model is kept that no request asks for, in the forms that Ollama takes: a number
 * of seconds, or a time with units; below 0: always.
 *
 * @returns null for what is neither
 */
export function parseKeepAlive(given: string | number): KeepAlive | null {
  if (typeof given === 'number') return given < 0 ? Infinity : given * 1000;
  const text = given.trim();
  const isNegative = text.startsWith('-');
  const bare = isNegative ? text.slice(1) : text;
  if (!/^\d+(?:\.\d+)?$/.test(bare) && !PARTS.test(bare)) return null;
  if (isNegative) return Infinity;
  if (!PARTS.test(bare)) return Number(bare) * 1000;
  const parts = [...bare.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  return parts.reduce((sum, [, count, unit]) => sum + Number(count) * UNITS[unit], 0);
}
