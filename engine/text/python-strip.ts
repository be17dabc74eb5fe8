import type { Span } from './spans.js';

/**
 * Python's white space. JavaScript's includes the byte order mark, but not the ASCII separators.
 */
const SPACE = new Set(
  '\t\n\v\f\r \u001c\u001d\u001e\u001f\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000',
);

export type StripMethod = 'strip' | 'lstrip' | 'rstrip';

export function isStripMethod(name: unknown): name is StripMethod {
  return name === 'strip' || name === 'lstrip' || name === 'rstrip';
}

/**
 * The span, in UTF-16 units, that Python's `str.strip`, `lstrip` and `rstrip` keep of a text.
 *
 * @param characters characters to remove at the ends; null for white space
 */
export function strippedSpan(text: string, method: StripMethod, characters: string | null): Span {
  const taken = characters === null ? SPACE : new Set(characters);
  let start = 0;
  let end = text.length;
  if (method !== 'rstrip') {
    while (start < end) {
      const char = String.fromCodePoint(text.codePointAt(start) ?? 0);
      if (!taken.has(char)) break;
      start += char.length;
    }
  }
  if (method !== 'lstrip') {
    while (end > start) {
      const isPair = end - start > 1 && (text.codePointAt(end - 2) ?? 0) > 0xffff;
      if (!taken.has(text.slice(isPair ? end - 2 : end - 1, end))) break;
      end -= isPair ? 2 : 1;
    }
  }
  return { start, end };
}

/** The span of the first, or else the last, piece of a text that is split at a separator. */
export function endOfSplit(text: string, separator: string, isFirst: boolean): Span {
  let at = text.indexOf(separator);
  if (isFirst) return { start: 0, end: at < 0 ? text.length : at };
  // From the left, because separators may overlap.
  let start = 0;
  for (; at >= 0; at = text.indexOf(separator, start)) start = at + separator.length;
  return { start, end: text.length };
}
