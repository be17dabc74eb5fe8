import type { Command } from 'commander';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';

// Of commands that are clients of a server: its address, and the key for it.

/** The server, as the command line names it. */
export interface Endpoint {
  /** Without `/v1`. */
  readonly url: string;
  /** Null: none is sent. */
  readonly apiKey: string | null;
}

export const DEFAULT_URL = 'http://127.0.0.1:8000';

/** A flag that was given, or not. */
export type Given = string | undefined;

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The address without `/v1`: clients are given it with or without.
 *
 * @throws OctavoError `usage`
 */
export function endpointUrl(given: Given): string {
  const text = given ?? DEFAULT_URL;
  const shown = clip(text);
  const wrong = (): OctavoError =>
    usage('--url', `${shown === '' ? "''" : shown}: must be an address such as ${DEFAULT_URL}`);
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw wrong();
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw wrong();
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '').replace(/\/v1$/, '');
}

/**
 * The key of the flag, or the first of those that a server of this machine would have; null: none.
 *
 * @throws OctavoError `usage` for an empty flag
 */
export function endpointKey(given: Given, environment: Environment): string | null {
  const known = environment['OCTAVO_API_KEY']?.split(',')[0] ?? '';
  if (given === undefined) return known === '' ? null : known;
  return filledText(given, '--api-key');
}

/** Adds the flags by which a command finds its server. */
export function addEndpointFlags(command: Command): Command {
  return command
    .option('--url <url>', `the server (default: ${DEFAULT_URL})`)
    .option('--api-key <key>', 'bearer token [OCTAVO_API_KEY]');
}

/** The server of those flags. @throws OctavoError `usage` */
export function endpointOf(
  { url, apiKey }: Record<string, unknown>,
  environment: Environment,
): Endpoint {
  return { url: endpointUrl(url as Given), apiKey: endpointKey(apiKey as Given, environment) };
}

/** @throws OctavoError `usage` for an empty text */
export function filledText(given: Given, flag: string): string | null {
  if (given === '') throw usage(flag, "'': must be a text that is not empty");
  return given ?? null;
}

export function usage(flag: string, problem: string): OctavoError {
  return new OctavoError('usage', `${flag} ${problem}`, { param: flag });
}
