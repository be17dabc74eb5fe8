import { createHash } from 'node:crypto';

/**
 * What a key may be used for: to generate and embed; to load, unload and change what the server
 * has; to see its figures, and the usage of all keys.
 */
export const SCOPES = ['inference', 'manage', 'metrics'] as const;

export type Scope = (typeof SCOPES)[number];

/** What a key may take. Undefined: what the server's flags say. 0: any number. */
export interface KeyLimits {
  readonly requestsPerMinute?: number | undefined;
  readonly tokensPerMinute?: number | undefined;
  /** Requests at a time. */
  readonly concurrent?: number | undefined;
}

/** A key, as the server knows it: not the key itself. */
export interface ApiKey {
  /** Unique; for logs, usage and metrics. */
  readonly name: string;
  /** Whether a file gives it this name; otherwise it is made of the fingerprint. */
  readonly isNamed: boolean;
  /** SHA-256 of the key. */
  readonly digest: Buffer;
  readonly scopes: readonly Scope[];
  readonly limits: KeyLimits;
}

export function digestOf(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

/** Enough to distinguish a server's keys in its log, and too little to guess a random key. */
export function fingerprintOf({ digest }: Pick<ApiKey, 'digest'>): string {
  return digest.toString('hex', 0, 4);
}

/** A key of `--api-key` or `--api-key-file`, which may do everything. */
export function plainKey(key: string): ApiKey {
  const digest = digestOf(key);
  return {
    name: `key-${fingerprintOf({ digest })}`,
    isNamed: false,
    digest,
    scopes: SCOPES,
    limits: {},
  };
}
