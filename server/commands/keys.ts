import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import { writeAtomically } from '../atomic-file.js';
import { type ApiKey, digestOf, type KeyLimits, type Scope } from '../keys/api-key.js';
import { keyFileOf, parseKeys, readKeyFile } from '../keys/key-file.js';
import { columns } from './columns.js';

// `octavo keys`: the file of keys that `octavo serve --keys-file` reads.

/** Bytes of randomness in a new key. */
const KEY_BYTES = 32;

/** What a new key may do. */
export interface NewKey {
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly limits: KeyLimits;
}

/**
 * Makes a key, and prints it: the file has its SHA-256 only, so it cannot be shown again.
 *
 * @throws OctavoError `usage` for a name that there is already
 */
export async function addKey(path: string, wanted: NewKey): Promise<number> {
  const keys = existsSync(path) ? readKeyFile(path) : [];
  if (keys.some(({ name }) => name === wanted.name)) {
    throw usage(`key ${clip(wanted.name)}: there is one in ${clip(path)} already`);
  }
  const key = `sk-octavo-${randomBytes(KEY_BYTES).toString('base64url')}`;
  const text = keyFileOf([...keys, { ...wanted, isNamed: true, digest: digestOf(key) }]);
  // What is wrong with the new key is said before it is in the file.
  parseKeys(text, path);
  await writeAtomically(path, text);
  process.stdout.write(`${key}\n`);
  process.stderr.write(`octavo: ${wanted.name} is in ${path}; the key is shown only now\n`);
  return 0;
}

/** Prints names, scopes and limits. @throws OctavoError `usage` */
export function listKeys(path: string): number {
  const rows = readKeyFile(path).map((key) => [key.name, key.scopes.join(','), limitsOf(key)]);
  process.stdout.write(columns([['name', 'scopes', 'limits'], ...rows]));
  return 0;
}

/** A running server refuses the key from then on. @throws OctavoError `usage` when there is none */
export async function removeKey(path: string, name: string): Promise<number> {
  const keys = readKeyFile(path);
  const left = keys.filter((key) => key.name !== name);
  if (left.length === keys.length) throw usage(`key ${clip(name)}: there is none in ${clip(path)}`);
  if (left.length === 0) {
    throw usage(`key ${clip(name)}: is the last one of ${clip(path)}; a server needs at least one`);
  }
  await writeAtomically(path, keyFileOf(left));
  process.stdout.write(`${name}: removed\n`);
  return 0;
}

function limitsOf({ limits }: ApiKey): string {
  const { requestsPerMinute, tokensPerMinute, concurrent } = limits;
  const parts = [
    requestsPerMinute === undefined ? '' : `${requestsPerMinute} requests/min`,
    tokensPerMinute === undefined ? '' : `${tokensPerMinute} tokens/min`,
    concurrent === undefined ? '' : `${concurrent} at a time`,
  ];
  return parts.filter((part) => part !== '').join(', ');
}

const usage = (message: string): OctavoError => new OctavoError('usage', message);
