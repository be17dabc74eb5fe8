import { readFileSync } from 'node:fs';
import { OctavoError } from '../../engine/errors.js';

/** Limits of the system for this process; Infinity when unknown. */
export interface SystemLimits {
  readonly openFiles: number;
  /** Bytes. */
  readonly addressSpace: number;
}

/** Minimum number of open files: modules are files, and are read concurrently. */
const FEWEST_FILES = 256;

/** Open files that are no connections: modules, threads, the model, the log. */
const OWN_FILES = 60;

/** Connections beyond `--max-connections`: the reserve, and those that are being closed. */
const EXTRA_CONNECTIONS = 320;

/**
 * Minimum address space: V8 reserves addresses, not memory, for each WebAssembly memory, to avoid
 * bounds checks.
 */
const LEAST_ADDRESSES = 24 * 2 ** 30;

/** Commands that run a model. */
const ENGINE_COMMANDS: ReadonlySet<string | undefined> = new Set(['serve', 'generate', 'chat']);

/**
 * Reads the limits on Linux. On other systems, Node cannot read them, and they count as infinite.
 */
export function readSystemLimits(path = '/proc/self/limits'): SystemLimits {
  let text = '';
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    // Not Linux, or /proc is hidden.
  }
  const soft = (name: string): number => {
    const value = new RegExp(`^${name} +(\\d+)`, 'm').exec(text)?.[1];
    return value === undefined ? Number.POSITIVE_INFINITY : Number(value);
  };
  return { openFiles: soft('Max open files'), addressSpace: soft('Max address space') };
}

/** @returns OctavoError `system_limit` when the command cannot start; else null */
export function tooLittleFor(
  command: string | undefined,
  { openFiles, addressSpace }: SystemLimits,
): OctavoError | null {
  if (openFiles < FEWEST_FILES) {
    return new OctavoError(
      'system_limit',
      `${openFiles} files may be open (ulimit -n): at least ${FEWEST_FILES} are needed`,
    );
  }
  if (!ENGINE_COMMANDS.has(command) || addressSpace >= LEAST_ADDRESSES) return null;
  const gib = (addressSpace / 2 ** 30).toFixed(1);
  return new OctavoError(
    'system_limit',
    `the address space is limited to ${gib} GiB (ulimit -v): WebAssembly reserves addresses, not memory, of at least ` +
      `${LEAST_ADDRESSES / 2 ** 30} GiB. Limit the memory by a cgroup instead`,
  );
}

/** The number of possible connections, at most `wanted` and at least one. */
export function connectionsWithin({ openFiles }: SystemLimits, wanted: number): number {
  const possible = openFiles - OWN_FILES - EXTRA_CONNECTIONS;
  // With so few, the reserve is smaller than usual: most of them are for clients.
  const few = Math.floor((openFiles - OWN_FILES) / 2);
  return Math.max(1, Math.min(wanted, Math.max(possible, few)));
}
