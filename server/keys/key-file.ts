import { readFileSync } from 'node:fs';
import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, stringify } from 'yaml';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import { type ApiKey, digestOf, type KeyLimits, SCOPES, type Scope } from './api-key.js';

/** Each request with a key compares it with all of them. */
const MOST_KEYS = 1000;

const NAME = /^[A-Za-z0-9][\w.@-]{0,63}$/;

/** Fields of limits, and what they are called in a file. */
const LIMITS = [
  ['requests-per-minute', 'requestsPerMinute'],
  ['tokens-per-minute', 'tokensPerMinute'],
  ['concurrent', 'concurrent'],
] as const satisfies readonly (readonly [string, keyof KeyLimits])[];

const FIELDS = ['name', 'key', 'sha256', 'scopes', ...LIMITS.map(([field]) => field)];

/**
 * Reads a file of keys (YAML, of which JSON is a part):
 *
 *     keys:
 *       - name: alice
 *         sha256: 64 hexadecimal digits    # or key: the key itself
 *         scopes: [inference]              # that is the default
 *         requests-per-minute: 60
 *         tokens-per-minute: 100000
 *         concurrent: 4
 *
 * @throws OctavoError `usage` for the first mistake, with its line; a key is never part of it
 */
export function readKeyFile(path: string): readonly ApiKey[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    throw usage(`--keys-file ${clip(path)}: cannot be read (${code})`);
  }
  return parseKeys(text, path);
}

/** @param path for messages */
export function parseKeys(text: string, path: string): readonly ApiKey[] {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const fail = (node: unknown, problem: string): never => {
    const offset = (node as Node | null)?.range?.[0] ?? 0;
    throw usage(`--keys-file ${clip(path)}:${lines.linePos(offset).line}: ${problem}`);
  };
  const [broken] = document.errors;
  if (broken) fail({ range: broken.pos }, 'is no YAML');
  const { contents } = document;
  const list = isMap(contents) && contents.items.length === 1 ? contents.get('keys') : null;
  if (!isSeq(list)) return fail(contents, 'must have one entry, keys, with a list of keys');
  if (list.items.length > MOST_KEYS) fail(list, `has more than ${MOST_KEYS} keys`);
  const keys: ApiKey[] = [];
  for (const item of list.items) {
    if (!isMap(item)) return fail(item, 'a key must have a name, and key or sha256');
    for (const { key: field } of item.items) {
      if (isScalar(field) && FIELDS.includes(String(field.value))) continue;
      const named = isScalar(field) ? clip(String(field.value)) : 'this';
      fail(field, `${named} is no field of a key: must be one of ${FIELDS.join(', ')}`);
    }
    const key = toKey(item.toJSON() as Record<string, unknown>, (problem) => fail(item, problem));
    if (keys.some(({ name }) => name === key.name)) fail(item, `two keys are called ${key.name}`);
    const same = keys.find(({ digest }) => digest.equals(key.digest));
    if (same) fail(item, `${key.name} is the same key as ${same.name}`);
    keys.push(key);
  }
  if (keys.length === 0) fail(list, 'has no key');
  return keys;
}

function toKey(fields: Record<string, unknown>, fail: (problem: string) => never): ApiKey {
  const { name, key, sha256, scopes = ['inference'] } = fields;
  if (typeof name !== 'string' || !NAME.test(name)) {
    return fail('name must be 1 to 64 letters, digits, or . _ @ -, with a letter or digit first');
  }
  const at = `key ${name}:`;
  if ((key === undefined) === (sha256 === undefined)) {
    return fail(`${at} must have either key or sha256`);
  }
  if (key !== undefined && (typeof key !== 'string' || !/^\S+$/.test(key))) {
    return fail(`${at} key must be a text without spaces`);
  }
  const isDigest = typeof sha256 === 'string' && /^[\da-f]{64}$/i.test(sha256);
  if (sha256 !== undefined && !isDigest) {
    return fail(`${at} sha256 must be 64 hexadecimal digits, in quotes where all are digits`);
  }
  if (!isScopes(scopes)) {
    return fail(`${at} scopes must be a list of one or more of ${SCOPES.join(', ')}`);
  }
  const limits: Partial<Record<keyof KeyLimits, number>> = {};
  for (const [field, limit] of LIMITS) {
    const value = fields[field];
    if (value === undefined) continue;
    if (!Number.isSafeInteger(value) || (value as number) < 0) {
      return fail(`${at} ${field} must be a whole number; 0: any number`);
    }
    limits[limit] = value as number;
  }
  const digest = key === undefined ? Buffer.from(String(sha256), 'hex') : digestOf(key);
  return { name, isNamed: true, digest, scopes, limits };
}

function isScopes(value: unknown): value is Scope[] {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((scope) => (SCOPES as readonly unknown[]).includes(scope))
  );
}

/** The file of some keys, which then has none in the clear. */
export function keyFileOf(keys: readonly ApiKey[]): string {
  const entries = keys.map(({ name, digest, scopes, limits }) => ({
    name,
    sha256: digest.toString('hex'),
    scopes: [...scopes],
    ...Object.fromEntries(
      LIMITS.flatMap(([field, limit]) =>
        limits[limit] === undefined ? [] : [[field, limits[limit]]],
      ),
    ),
  }));
  return stringify({ keys: entries });
}

function usage(message: string): OctavoError {
  return new OctavoError('usage', message, { param: '--keys-file' });
}
