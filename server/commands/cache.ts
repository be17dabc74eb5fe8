import type { Static, TSchema } from 'typebox';
import { Check } from 'typebox/value';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import { ErrorSchema, PREFIX_ANSWERS } from '../openapi/schemas.js';
import { PrefixSchema } from '../prefixes/prefix-fields.js';
import { readPrefixFile } from '../prefixes/prefix-file.js';
import type { PinnedPrefix } from '../prefixes/prefix-pins.js';

// `octavo cache`: pins prefixes in a running server. A client, as all others are.

/** The server, as the command line names it. */
export interface CacheEndpoint {
  /** Without `/v1`. */
  readonly url: string;
  /** Null: none is sent. */
  readonly apiKey: string | null;
}

const PATH = '/v1/cache/prefixes';

/**
 * Pins the prefixes of a file, one after another. One that the server refuses is named on standard
 * error, and the next ones are tried.
 *
 * @returns the exit code: 1 when one was refused
 * @throws OctavoError `usage`, and `endpoint_unusable` when the server cannot be reached
 */
export async function warmCache(file: string, endpoint: CacheEndpoint): Promise<number> {
  const entries = readPrefixFile(file, 'FILE', Object.keys(PrefixSchema.properties));
  let code = 0;
  for (const { name, body } of entries) {
    const start = performance.now();
    const answer = await ask(endpoint, 'POST', PATH, body);
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    if ('error' in answer) {
      process.stderr.write(`octavo: prefix ${name}: ${answer.error}\n`);
      code = 1;
      continue;
    }
    const pinned = expectForm(answer.value, PREFIX_ANSWERS.one, endpoint);
    process.stdout.write(`${line(pinned)}; ${pinned.cached_tokens} were cached; ${seconds} s\n`);
  }
  return code;
}

/** Prints the pinned prefixes. @throws OctavoError `endpoint_unusable` */
export async function listCache(endpoint: CacheEndpoint): Promise<number> {
  const value = await askWell(endpoint, 'GET', PATH);
  const { data } = expectForm(value, PREFIX_ANSWERS.list, endpoint);
  for (const pinned of data) {
    const since = new Date(pinned.created * 1000).toISOString();
    process.stdout.write(`${line(pinned)}; ${pinned.model}, since ${since}\n`);
  }
  if (data.length === 0) process.stderr.write('octavo: no prefix is pinned\n');
  return 0;
}

/** Lets a prefix go. @throws OctavoError `endpoint_unusable`, also when there is none */
export async function unpinCache(name: string, endpoint: CacheEndpoint): Promise<number> {
  await askWell(endpoint, 'DELETE', `${PATH}/${encodeURIComponent(name)}`);
  process.stdout.write(`${name}: not pinned any more\n`);
  return 0;
}

const line = ({ name, tokens, pinned_tokens: pinned }: PinnedPrefix): string =>
  `${name}: ${pinned} of ${tokens} tokens are pinned`;

type Answer = { readonly value: unknown } | { readonly error: string };

async function askWell(endpoint: CacheEndpoint, method: string, path: string): Promise<unknown> {
  const answer = await ask(endpoint, method, path);
  if ('error' in answer) throw unusable(endpoint, answer.error);
  return answer.value;
}

/** The body of an answer, or why the server refuses. */
async function ask(
  endpoint: CacheEndpoint,
  method: string,
  path: string,
  body?: object,
): Promise<Answer> {
  const { url, apiKey } = endpoint;
  let response: Response;
  let text: string;
  try {
    response = await fetch(url + path, {
      method,
      headers: {
        ...(body && { 'content-type': 'application/json' }),
        ...(apiKey !== null && { authorization: `Bearer ${apiKey}` }),
      },
      ...(body && { body: JSON.stringify(body) }),
    });
    text = await response.text();
  } catch (error) {
    const { cause, message } = error as Error & { cause?: NodeJS.ErrnoException };
    throw unusable(endpoint, `cannot be reached (${cause?.code ?? cause?.message ?? message})`);
  }
  const value = parse(text);
  if (response.ok) return { value };
  const told = Check(ErrorSchema, value) ? value.error.message : clip(text);
  return { error: `${response.status}: ${told}` };
}

function expectForm<Schema extends TSchema>(
  value: unknown,
  schema: Schema,
  endpoint: CacheEndpoint,
): Static<Schema> {
  if (Check(schema, value)) return value;
  throw unusable(endpoint, `does not answer ${PATH} as Octavo does`);
}

function unusable({ url }: CacheEndpoint, problem: string): OctavoError {
  return new OctavoError('endpoint_unusable', `${url}: ${problem}`, { param: '--url' });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}
