/** What Python takes for white space; JavaScript has a byte order mark among it, but no separators of the ASCII kind. */
const SPACE = new Set(
  '\t\n\v\f\r \u001c\u001d\u001e\u001f\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000',
);

export type StripMethod = 'strip' | 'lstrip' | 'rstrip';

export function isStripMethod(name: unknown): name is StripMethod {
  return name === 'strip' || name === 'lstrip' || name === 'rstrip';
}

/**
 * Python's `str.strip`, `lstrip` and `rstrip`.
 *
 * @param characters those that are taken from the ends; null: white space
 */
export function strip(text: string, method: StripMethod, characters: string | null): string {
  const taken = characters === null ? SPACE : new Set(characters);
  const letters = Array.from(text);
  let start = 0;
  let end = letters.length;
  if (method !== 'rstrip') while (start < end && taken.has(letters[start])) start++;
  if (method !== 'lstrip') while (end > start && taken.has(letters[end - 1])) end--;
  return letters.slice(start, end).join('');
}
