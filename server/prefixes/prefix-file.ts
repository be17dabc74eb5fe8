import { readFileSync } from 'node:fs';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';

/** A prefix of a file: its fields are checked by the server that pins it. */
export interface FileEntry {
  readonly name: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/**
 * Reads named prefixes: a JSON array of objects, one object, or one a line (JSONL). Their fields
 * are those of `POST /v1/cache/prefixes`.
 *
 * @param flag what the file was given as, for errors
 * @param fields those that an entry may have: a slip in a file would pin another prefix
 * @throws OctavoError `usage` for a file that cannot be read or is something else, and for two
 *   prefixes of one name
 */
export function readPrefixFile(
  path: string,
  flag: string,
  fields: readonly string[],
): readonly FileEntry[] {
  const fail = (problem: string): never => {
    throw new OctavoError('usage', `${flag} ${clip(path)}: ${problem}`, { param: flag });
  };
  let text = '';
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    fail(`cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`);
  }
  const values = parse(text);
  if (!values) fail('must be a JSON array of objects, or one JSON object a line');
  const entries = (values as readonly unknown[]).map((value, i): FileEntry => {
    const entry = `entry ${i + 1}`;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      return fail(`${entry} must be an object with name, and prompt or messages`);
    }
    const alien = Object.keys(value).find((field) => !fields.includes(field));
    if (alien !== undefined) {
      fail(`${entry}: ${clip(alien)} is no field of a prefix: must be one of ${fields.join(', ')}`);
    }
    const body = value as Record<string, unknown>;
    const { name } = body;
    if (typeof name !== 'string') return fail(`${entry}: name must be a text`);
    return { name, body };
  });
  if (entries.length === 0) fail('has no prefix');
  const names = entries.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) fail(`two prefixes are called ${clip(twice)}`);
  return entries;
}

/** Null when it is neither. */
function parse(text: string): readonly unknown[] | null {
  const whole = parseJson(text);
  if (Array.isArray(whole)) return whole as readonly unknown[];
  if (whole !== undefined) return [whole];
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const values = lines.map(parseJson);
  return values.includes(undefined) ? null : values;
}

/** Undefined when it is none. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
