import type { Endpoint } from '../config/endpoint-options.js';
import { PREFIX_ANSWERS } from '../openapi/schemas.js';
import { PrefixSchema } from '../prefixes/prefix-fields.js';
import { readPrefixFile } from '../prefixes/prefix-file.js';
import type { PinnedPrefix } from '../prefixes/prefix-pins.js';
import { ask, askWell, expectForm } from './endpoint.js';

// `octavo cache`: pins prefixes in a running server.

const PATH = '/v1/cache/prefixes';

/**
 * Pins the prefixes of a file, one after another. One that the server refuses is named on standard
 * error, and the next ones are tried.
 *
 * @returns the exit code: 1 when one was refused
 * @throws OctavoError `usage`, and `endpoint_unusable` when the server cannot be reached
 */
export async function warmCache(file: string, endpoint: Endpoint): Promise<number> {
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
    const pinned = expectForm(answer.value, PREFIX_ANSWERS.one, endpoint, PATH);
    process.stdout.write(`${line(pinned)}; ${pinned.cached_tokens} were cached; ${seconds} s\n`);
  }
  return code;
}

/** Prints the pinned prefixes. @throws OctavoError `endpoint_unusable` */
export async function listCache(endpoint: Endpoint): Promise<number> {
  const value = await askWell(endpoint, 'GET', PATH);
  const { data } = expectForm(value, PREFIX_ANSWERS.list, endpoint, PATH);
  for (const pinned of data) {
    const since = new Date(pinned.created * 1000).toISOString();
    process.stdout.write(`${line(pinned)}; ${pinned.model}, since ${since}\n`);
  }
  if (data.length === 0) process.stderr.write('octavo: no prefix is pinned\n');
  return 0;
}

/** Lets a prefix go. @throws OctavoError `endpoint_unusable`, also when there is none */
export async function unpinCache(name: string, endpoint: Endpoint): Promise<number> {
  await askWell(endpoint, 'DELETE', `${PATH}/${encodeURIComponent(name)}`);
  process.stdout.write(`${name}: not pinned any more\n`);
  return 0;
}

const line = ({ name, tokens, pinned_tokens: pinned }: PinnedPrefix): string =>
  `${name}: ${pinned} of ${tokens} tokens are pinned`;
