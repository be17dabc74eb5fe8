import { type Static, Type } from 'typebox';
import { OctavoError } from '../../../engine/errors.js';
import type { RepetitionLimit } from '../../../scheduler/repetition.js';

/** vLLM's default of `--max-repetition-detection-pattern-size`. */
const MAX_PATTERN_SIZE = 2048;

const Size = (maximum: number) =>
  Type.Optional(Type.Union([Type.Integer({ minimum: 0, maximum }), Type.Null()]));

/** vLLM's `RepetitionDetectionParams`; what is left out is 0. */
export const RepetitionSchema = Type.Object({
  /** Tokens of the largest pattern; 0: nothing is looked for. */
  max_pattern_size: Size(MAX_PATTERN_SIZE),
  /** Of the smallest; 0 is 1. */
  min_pattern_size: Size(MAX_PATTERN_SIZE),
  /** So many times in a row a pattern ends the text. */
  min_count: Size(Number.MAX_SAFE_INTEGER),
});

export type RepetitionFields = Static<typeof RepetitionSchema>;

/**
 * @param minTokens before so many tokens, nothing ends a text
 * @returns undefined when nothing is looked for
 * @throws OctavoError `invalid_request` for sizes and counts that find nothing
 */
export function repetitionLimit(
  fields: RepetitionFields | null | undefined,
  minTokens: number,
): RepetitionLimit | undefined {
  const maxPatternSize = fields?.max_pattern_size ?? 0;
  const minPatternSize = fields?.min_pattern_size ?? 0;
  const minCount = fields?.min_count ?? 0;
  const refuse = (field: string, problem: string): never => {
    const param = `repetition_detection.${field}`;
    throw new OctavoError('invalid_request', `${param} ${problem}`, { param });
  };
  if (minPatternSize > maxPatternSize) {
    refuse(
      'min_pattern_size',
      `is ${minPatternSize}: it must be at most max_pattern_size, which is ${maxPatternSize}`,
    );
  }
  if (maxPatternSize === 0) return undefined;
  if (minCount < 2) {
    refuse('min_count', `is ${minCount}: it must be at least 2, or max_pattern_size 0`);
  }
  return { minPatternSize: Math.max(1, minPatternSize), maxPatternSize, minCount, minTokens };
}
