const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const OPENING: ReadonlySet<number> = new Set([0x7b, 0x5b]);
const CLOSING: ReadonlySet<number> = new Set([0x7d, 0x5d]);

/**
 * A key that the outermost object of a JSON text has twice, of which JSON.parse would silently take
 * the last; null when there is none.
 *
 * @param text valid JSON
 */
export function duplicateKey(text: string): string | null {
  const keys = new Set<string>();
  let depth = 0;
  let last: readonly [start: number, end: number] = [0, 0];
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      const start = at;
      at = endOfText(text, at);
      last = [start, at + 1];
    } else if (OPENING.has(code)) depth += 1;
    else if (CLOSING.has(code)) depth -= 1;
    else if (code === COLON && depth === 1) {
      const key = JSON.parse(text.slice(...last)) as string;
      if (keys.has(key)) return key;
      keys.add(key);
    }
  }
  return null;
}

/** @returns the place of the quote that ends the text which begins at `start` */
function endOfText(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text.charCodeAt(at) !== QUOTE) {
    at += text.charCodeAt(at) === BACKSLASH ? 2 : 1;
  }
  return at;
}
