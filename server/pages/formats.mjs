// How the dashboard writes numbers.

const whole = new Intl.NumberFormat('en');
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

/** @param {number} value */
export const count = (value) => whole.format(Math.round(value));

/**
 * With three digits or so: 33.9K.
 *
 * @param {number} value
 */
export const compact = (value) => short.format(value);

/** @param {number} share */
export const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.0995 ? 1 : 0)} %`;

/**
 * Milliseconds with the digits that matter.
 *
 * @param {number} value
 */
export function ms(value) {
  if (value >= 10_000) return `${(value / 1000).toFixed(0)} s`;
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  return `${value.toFixed(value < 9.95 ? 1 : 0)} ms`;
}

/**
 * Two percentiles in one unit, that of the larger: so short that a card holds them.
 *
 * @param {number} p95 milliseconds
 * @param {number} p99
 */
export function tails(p95, p99) {
  const [divisor, unit] = p99 >= 1000 ? [1000, 's'] : [1, 'ms'];
  const words = (/** @type {number} */ value) =>
    (value / divisor).toFixed(value / divisor < 9.95 ? 1 : 0);
  return `p95 ${words(p95)} · p99 ${words(p99)} ${unit}`;
}

/** @param {number} value */
export function bytes(value) {
  const mebibytes = value / 2 ** 20;
  if (mebibytes >= 1000) return `${(mebibytes / 1024).toFixed(1)} GiB`;
  return `${mebibytes.toFixed(0)} MiB`;
}

/**
 * A rate that may be far below one.
 *
 * @param {number} value
 */
export function perSecond(value) {
  if (value === 0 || value >= 9.95) return count(value);
  return value.toFixed(value < 0.995 ? 2 : 1);
}

/** @param {number} value milliseconds */
export function age(value) {
  const seconds = Math.max(0, value) / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** @param {number} seconds */
export function span(seconds) {
  return seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

/** @param {number} value bytes of a file */
export function fileSize(value) {
  if (value >= 2 ** 20) return `${(value / 2 ** 20).toFixed(1)} MiB`;
  return value >= 1024 ? `${(value / 1024).toFixed(0)} KiB` : `${value} bytes`;
}
