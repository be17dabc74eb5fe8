import { isObject } from './component.js';
import { byteTokens } from './models.js';

/** Parts that keep each character of a text, or make a few of one, but never drop any. */
const KEEPING = new Set([
  'NFC',
  'NFD',
  'NFKC',
  'NFKD',
  'Prepend',
  'ByteLevel',
  'Digits',
  'Punctuation',
  'Metaspace',
]);

interface TokenizerParts {
  readonly normalizer?: unknown;
  readonly pre_tokenizer?: unknown;
  readonly decoder?: unknown;
  readonly added_tokens?: readonly { readonly lstrip?: boolean; readonly rstrip?: boolean }[];
}

/** Whether a text of many characters must give many tokens: nothing drops characters, and none of them are unknown. */
export function knowsLongestToken(
  file: TokenizerParts,
  idOf: ReadonlyMap<string, number>,
): boolean {
  const added = file.added_tokens ?? [];
  return (
    (hasByteLevel(file.pre_tokenizer) || byteTokens(idOf) !== null) &&
    keeps(file.normalizer) &&
    keeps(file.pre_tokenizer) &&
    !added.some(({ lstrip, rstrip }) => lstrip === true || rstrip === true)
  );
}

const hasByteLevel = (part: unknown): boolean =>
  JSON.stringify(part ?? null).includes('"ByteLevel"');

function keeps(part: unknown): boolean {
  if (part === undefined || part === null) return true;
  if (!isObject(part)) return false;
  const { type, behavior, pattern, content } = part;
  if (type === 'Sequence') {
    const parts = part['normalizers'] ?? part['pretokenizers'];
    return Array.isArray(parts) && parts.every(keeps);
  }
  if (type === 'Split' || type === 'Punctuation') return behavior !== 'Removed';
  if (type === 'Replace') {
    const text = isObject(pattern) ? pattern['String'] : undefined;
    return typeof text === 'string' && typeof content === 'string' && content.length >= text.length;
  }
  return KEEPING.has(String(type));
}
