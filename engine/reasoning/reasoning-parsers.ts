/** Values of `--reasoning-parser`. */
export const REASONING_PARSERS = ['none', 'think'] as const;

export type ReasoningParserName = (typeof REASONING_PARSERS)[number];
