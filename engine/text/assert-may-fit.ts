import { OctavoError } from '../errors.js';
import type { Tokenizer } from './tokenizer.js';

/**
 * A normalizer may make a text shorter (three units of Korean become one) before it is cut into
 * tokens.
 */
const SHRINKS_AT_MOST = 4;

type Cutter = Pick<Tokenizer, 'longestToken' | 'dropsSpace'>;

/** A lower bound on the number of tokens of a text, from its length alone. */
function leastTokens(text: string, { longestToken, dropsSpace }: Cutter): number {
  const length = dropsSpace ? text.replaceAll(/\s+/g, '').length : text.length;
  return Math.ceil(length / SHRINKS_AT_MOST / longestToken);
}

/** False for a text that is longer than `context` tokens of the longest kind. */
export const mayFit = (text: string, tokenizer: Cutter, context: number): boolean =>
  leastTokens(text, tokenizer) <= context;

/**
 * Refuses a text that cannot fit, without tokenizing it: tokenizing megabytes takes seconds, during
 * which all streams of the server would wait.
 *
 * @param context length of the context in tokens
 * @throws OctavoError `context_length_exceeded`
 */
export function assertMayFit(
  text: string,
  tokenizer: Cutter,
  context: number,
  param: string,
): void {
  if (!mayFit(text, tokenizer, context))
    throw tooLong(leastTokens(text, tokenizer), context, param);
}

/**
 * The same for a conversation, before its template is rendered: that takes seconds for a hundred
 * thousand messages. Each message is at least one token.
 *
 * @throws OctavoError `context_length_exceeded`
 */
export function assertFewEnough(messages: number, context: number, param: string): void {
  if (messages > context) throw tooLong(messages, context, param);
}

/** Clients and proxies recognize this error by OpenAI's words, up to "tokens." */
const limitOf = (context: number): string =>
  `This model's maximum context length is ${context} tokens.`;

function tooLong(least: number, context: number, param: string): OctavoError {
  const message = `${limitOf(context)} However, ${param} has at least ${least} tokens.`;
  return new OctavoError('context_length_exceeded', message, { param });
}

/** The error for a prompt and an output that do not fit together. */
export function contextExceeded(options: {
  readonly context: number;
  readonly promptTokens: number;
  /** Most tokens of the output; null when the request asks for none. */
  readonly wanted: number | null;
  readonly param: string;
}): OctavoError {
  const { context, promptTokens, wanted, param } = options;
  const asked =
    wanted === null
      ? `${param} has ${promptTokens} tokens.`
      : `you requested ${count(promptTokens + wanted)} tokens (${promptTokens} in the ${param}, ${count(wanted)} in the completion).`;
  return new OctavoError('context_length_exceeded', `${limitOf(context)} However, ${asked}`, {
    param,
  });
}

/** Formats a number without an exponent; JavaScript would write 1e+300. */
function count(tokens: number): string {
  return Number.isSafeInteger(tokens) ? String(tokens) : `more than ${Number.MAX_SAFE_INTEGER}`;
}
