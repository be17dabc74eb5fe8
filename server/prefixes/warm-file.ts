import type { Logger } from 'pino';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import { compileValidator } from '../http/validation.js';
import { type PrefixBody, PrefixSchema } from './prefix-fields.js';
import { readPrefixFile } from './prefix-file.js';
import type { PrefixPins } from './prefix-pins.js';

const FLAG = '--warm-prefixes';

/**
 * Reads the prefixes that a server pins before it takes requests.
 *
 * @throws OctavoError `usage` for a file that cannot be read, and for the first field that is wrong
 */
export function readWarmFile(path: string): readonly PrefixBody[] {
  const entries = readPrefixFile(path, FLAG, Object.keys(PrefixSchema.properties));
  const check = compileValidator(PrefixSchema);
  return entries.map(({ name, body }) => {
    const checked = check(body);
    if ('error' in checked) throw failure(path, name, checked.error);
    return checked.value as PrefixBody;
  });
}

/**
 * Pins the prefixes of a file.
 *
 * @param path of the file, for errors
 * @throws OctavoError `usage` for the first that cannot be pinned: a server must not start without
 *   what it was to have
 */
export async function warmPrefixes(
  prefixes: readonly PrefixBody[],
  path: string,
  pins: PrefixPins,
  logger: Logger,
): Promise<void> {
  const { signal } = new AbortController();
  for (const prefix of prefixes) {
    try {
      const pinned = await pins.warm(prefix, { client: FLAG, signal });
      const { name, pinned_tokens: tokens, cached_tokens: cached } = pinned;
      logger.info(
        `octavo: prefix ${name}: ${tokens} of ${pinned.tokens} tokens are pinned, ${cached} were cached`,
      );
    } catch (error) {
      throw error instanceof OctavoError ? failure(path, prefix.name, error) : error;
    }
  }
}

function failure(path: string, name: string, cause: OctavoError): OctavoError {
  const message = `${FLAG} ${clip(path)}: prefix ${clip(name)}: ${cause.message}`;
  return new OctavoError('usage', message, { param: FLAG, cause });
}
