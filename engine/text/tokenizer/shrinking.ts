import { Component, isObject } from './component.js';
import { byteTokens } from './models.js';

/** Parts that keep or multiply characters of a text, but never drop any. */
const KEEPING = new Set([
  'NFC',
  'NFD',
  'NFKC',
  'NFKD',
  'Lowercase',
  'Prepend',
  'ByteLevel',
  'Digits',
  'Punctuation',
  'Metaspace',
]);

interface TokenizerParts {
  readonly normalizer?: unknown;
  readonly pre_tokenizer?: unknown;
  readonly model: object;
}

/**
 * Whether a long text must have many tokens: no part drops characters, and no run of unknown
 * characters becomes one token.
 */
export function knowsLongestToken(
  file: TokenizerParts,
  idOf: ReadonlyMap<string, number>,
): boolean {
  const hasBytes = Reflect.get(file.model, 'byte_fallback') === true && byteTokens(idOf) !== null;
  return (
    (hasByteLevel(file.pre_tokenizer) || hasBytes) &&
    keepsCharacters(file.normalizer) &&
    keepsCharacters(file.pre_tokenizer)
  );
}

const hasByteLevel = (part: unknown): boolean =>
  JSON.stringify(part ?? null).includes('"ByteLevel"');

/** Whether no character of a text can be dropped by a normalizer or pre-tokenizer. */
export function keepsCharacters(part: unknown): boolean {
  if (part === undefined || part === null) return true;
  if (!isObject(part)) return false;
  const { type, behavior, pattern, content } = part;
  if (type === 'Sequence') {
    const parts = part['normalizers'] ?? part['pretokenizers'];
    return Array.isArray(parts) && parts.every(keepsCharacters);
  }
  if (type === 'Split' && behavior === 'Removed') {
    return part['invert'] === true && matchesAnything(new Component(part, type).pattern());
  }
  if (type === 'Split' || type === 'Punctuation') return behavior !== 'Removed';
  if (type === 'Replace') {
    const text = isObject(pattern) ? pattern['String'] : undefined;
    return typeof text === 'string' && typeof content === 'string' && content.length >= text.length;
  }
  return KEEPING.has(String(type));
}

/**
 * GPT-4's expression and similar ones match every character, so nothing between their matches is
 * dropped.
 */
function matchesAnything(pattern: RegExp): boolean {
  const whole = new RegExp(`^(?:${pattern.source})$`, 'u');
  for (let code = 0; code <= 0xffff; code++) {
    const isSurrogate = code >= 0xd800 && code <= 0xdfff;
    if (!isSurrogate && !whole.test(String.fromCharCode(code))) return false;
  }
  return true;
}
