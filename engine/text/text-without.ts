/**
 * A regular expression for the texts in which a marker does not occur. The marker's first character
 * must not occur in it again. Then a text is free of the marker if each prefix of the marker in it
 * is followed by another character than in the marker:
 *
 *     ( [^m0] | B* (B1 [^m0 m1] | B2 [^m0 m2] | ...) )* B*
 *
 * Bi: the marker's first i characters; B: any Bi that is shorter than the marker.
 */
export function textWithout(marker: string): string {
  const [first, ...rest] = Array.from(marker, escape);
  const beginnings = rest.map((_, i) => [first, ...rest.slice(0, i)].join(''));
  const held = `(?:${beginnings.join('|')})*`;
  const released = rest.map((next, i) => `${beginnings[i]}[^${first}${next}]`);
  return `(?:[^${first}]|${held}(?:${released.join('|')}))*${held}`;
}

const escape = (char: string): string =>
  `\\u${(char.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`;
