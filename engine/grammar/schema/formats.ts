import type { Expression } from '../language/expression.js';
import { matcherOf } from '../language/matcher.js';
import { parseRegex } from '../language/regex.js';

const DAY = '(?:0[1-9]|1[0-9]|2[0-8])';
/** February 29 is left out: whether it exists depends on the year. */
const DATE = `[0-9]{4}-(?:(?:0[1-9]|1[0-2])-${DAY}|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)`;
const CLOCK = '(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?';
const ZONE = '(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])';
const CLOCK_DURATION =
  'T(?:[0-9]{1,9}H(?:[0-9]{1,9}M)?(?:[0-9]{1,9}S)?|[0-9]{1,9}M(?:[0-9]{1,9}S)?|[0-9]{1,9}S)';
const DAY_DURATION =
  '(?:[0-9]{1,9}Y(?:[0-9]{1,9}M)?(?:[0-9]{1,9}D)?|[0-9]{1,9}M(?:[0-9]{1,9}D)?|[0-9]{1,9}D)';
/**
 * Shorter than the standards allow: each position of a counted repetition costs compile time, while
 * an unbounded repetition costs as much as one position.
 */
const LABEL = '[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,14}[a-zA-Z0-9])?';
const HOST = `${LABEL}(?:\\.${LABEL}){0,2}`;
const OCTET = '(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])';
const GROUP = '[0-9a-fA-F]{1,4}';
const ATEXT = "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]";
const WORD = '[a-zA-Z0-9]+';
const PATH = "[a-zA-Z0-9._~!$&'()*+,;=:@/-]*";

/** `::` may replace one run of groups, at any position. */
const IPV6 = [
  `(?:${GROUP}:){7}${GROUP}`,
  ...[1, 2, 3, 4, 5, 6].map((n) => `(?:${GROUP}:){${n}}(?::${GROUP}){1,${7 - n}}`),
  `(?:${GROUP}:){1,7}:`,
  `:(?::${GROUP}){1,7}`,
  '::',
].join('|');

/** The regular expression for each `format`: a subset of what its standard allows. */
export const FORMATS: Readonly<Record<string, string>> = {
  date: DATE,
  time: `${CLOCK}${ZONE}`,
  'date-time': `${DATE}T${CLOCK}${ZONE}`,
  duration: `P(?:${DAY_DURATION}(?:${CLOCK_DURATION})?|${CLOCK_DURATION}|[0-9]{1,9}W)`,
  email: `${ATEXT}+(?:\\.${ATEXT}+)*@(?:${WORD}(?:-${WORD})*\\.)+${WORD}`,
  hostname: HOST,
  ipv4: `${OCTET}(?:\\.${OCTET}){3}`,
  ipv6: IPV6,
  uuid: '[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}',
  uri: `[a-zA-Z][a-zA-Z0-9+.-]*://${WORD}(?:[.-]${WORD})*(?::[0-9]{1,4})?(?:/${PATH})?(?:\\?${PATH})?(?:#${PATH})?`,
};

const parsed = new Map<string, Expression>();
const matchers = new Map<string, (text: string) => boolean>();

/** @returns undefined for an unknown format */
export function formatExpression(format: string): Expression | undefined {
  if (!Object.hasOwn(FORMATS, format)) return undefined;
  const known = parsed.get(format) ?? parseRegex(FORMATS[format], 'whole', 'format');
  parsed.set(format, known);
  return known;
}

/** True for an unknown format, too: that is refused where strings are written. */
export function matchesFormat(format: string, text: string): boolean {
  const expression = formatExpression(format);
  if (!expression) return true;
  const matches = matchers.get(format) ?? matcherOf(expression);
  matchers.set(format, matches);
  return matches(text);
}
