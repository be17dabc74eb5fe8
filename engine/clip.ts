/** Maximum length of client input that a message repeats, in UTF-16 units. */
export const MAX_ECHO = 200;

/** Shortens input for a message, without splitting a surrogate pair. */
export function clip(text: string, limit = MAX_ECHO): string {
  if (text.length <= limit) return text;
  return `${text.slice(0, limit - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;
}

/**
 * Shortens a name from a file for a message, and keeps the message one line of visible characters.
 */
export function clipName(name: string): string {
  return clip(/^[\x20-\x7e]*$/.test(name) ? name : JSON.stringify(name));
}
