import { nearest } from './nearest.js';
import { environmentName, listSettings } from './settings.js';

const PREFIX = 'OCTAVO_';

/** Variables of the repository's benchmarks and tests. */
const TOOLS = /^OCTAVO_(BENCH|SOAK|TEST)_/;

/**
 * What Kubernetes sets in every container of a namespace that has a service called octavo, or
 * octavo-something.
 */
const SERVICE_LINKS = /^OCTAVO_(\w+_)?(SERVICE_(HOST|PORT\w*)|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)$/;

/** The value of such a variable whose name could be a setting's: OCTAVO_PORT. */
export const SERVICE_ADDRESS = /^(tcp|udp|sctp):\/\//;

/**
 * Warns of variables that look like a setting but are none, one line each. They are no error:
 * variables that are set for a group of programs, as in Kubernetes, must not keep the server from
 * starting.
 */
export function warnOfUnknownVariables(
  environment: Readonly<Record<string, string | undefined>>,
  warn: (line: string) => void,
): void {
  const known = listSettings('all').map(([name]) => environmentName(name));
  for (const [name, value = ''] of Object.entries(environment)) {
    if (!name.startsWith(PREFIX) || known.includes(name)) continue;
    if (TOOLS.test(name) || SERVICE_LINKS.test(name)) continue;
    if (name.endsWith('_PORT') && SERVICE_ADDRESS.test(value)) continue;
    const bare = known.map((other) => other.slice(PREFIX.length));
    const best = nearest(name.slice(PREFIX.length), bare);
    const meant = best === null ? '' : `: did you mean ${PREFIX}${best}?`;
    warn(`the variable ${name} is unknown and has no effect${meant}`);
  }
}
