import { REJECTIONS } from '../metrics/server-metrics.js';

/** Seconds of the past that the server keeps, a sample each. */
export const HISTORY_SECONDS = 900;

/**
 * What a sample says, in the order of its numbers. NaN (JSON: null): nothing of the kind has
 * happened.
 */
export const SAMPLE_FIELDS = [
  /** Milliseconds on the server's clock, at the end of the sample's second. */
  'time',
  /** Since the sample before. */
  'seconds',
  /**
   * Tokens since then: generated, of prompts that began to run, and of those the ones found in the
   * prefix cache.
   */
  'generated',
  'prompt',
  'cached',
  /** Milliseconds, over the last half minute. */
  'ttftP50',
  'ttftP95',
  'ttftP99',
  'itlP50',
  'itlP95',
  'itlP99',
  /** Mean milliseconds of a step, by phase. */
  'segments',
  'attention',
  'sample',
  'schedule',
  'other',
  /** Requests and blocks at the end of the second. */
  'running',
  'waiting',
  'paused',
  'usedBlocks',
  /** Since the sample before. */
  'preemptions',
  /**
   * HTTP answers: of the API with a status below 400, and all with one of 4xx, of 5xx; clients that
   * left before theirs.
   */
  'succeeded',
  'clientErrors',
  'serverErrors',
  'left',
  /** Requests turned away, by reason. */
  ...REJECTIONS.map((reason) => `rejected ${reason}` as const),
  /** Bytes; processors in use; the longest delay of the event loop in milliseconds. */
  'rss',
  'heap',
  'cpu',
  'loopDelay',
] as const;

export type SampleField = (typeof SAMPLE_FIELDS)[number];

/**
 * Numbers in the order of `SAMPLE_FIELDS`, rounded to what a page can show: they are sent as they
 * are.
 */
export type Sample = readonly number[];

/**
 * Five digits are more than a chart shows, and a third of the bytes. Times and memory stay whole.
 */
export function toSample(values: Readonly<Record<SampleField, number>>): Sample {
  return SAMPLE_FIELDS.map((field) => {
    const value = values[field];
    return Number.isInteger(value) || Number.isNaN(value) ? value : Number(value.toPrecision(5));
  });
}
