import type { FastifyRequest } from 'fastify';
import { OctavoError } from '../../engine/errors.js';
import type { ApiKey } from '../keys/api-key.js';
import { clientOf } from './client.js';
import type { RateLimiter } from './rate-limiter.js';

/** What one client may take, whichever model it asks. Null: any number. */
export interface ClientLimits {
  /** Identifies the client. */
  readonly client: string;
  readonly requests: RateLimiter | null;
  readonly tokens: RateLimiter | null;
  /**
   * Counts a request that begins.
   *
   * @returns what to call when it has ended
   * @throws OctavoError `rate_limited` when as many run as may
   */
  readonly begin: () => () => void;
}

type Unit = 'requests' | 'tokens';

/** A request as far as limits look at it; `key` is null where none is asked for. */
type LimitedRequest = Pick<FastifyRequest, 'headers' | 'ip'> & { readonly key: ApiKey | null };

export interface LimitsOptions {
  /** Whether clients are identified by their checked keys; otherwise by their addresses. */
  readonly keyed: () => boolean;
  /** Per minute, for keys that have no limits of their own, and addresses; 0: any number. */
  readonly standard: Readonly<Record<Unit, number>>;
  readonly createLimiter: (unit: Unit, limit: number) => RateLimiter;
}

/** The limits of all clients: those of their keys, or else the server's. */
export class LimitTable {
  readonly #options: LimitsOptions;
  /** By unit and limit: clients of one limit are counted apart by their names. */
  readonly #limiters = new Map<string, RateLimiter>();
  /** Requests at a time, of clients that have some. */
  readonly #running = new Map<string, number>();

  constructor(options: LimitsOptions) {
    this.#options = options;
  }

  of(request: LimitedRequest): ClientLimits {
    const { keyed, standard } = this.#options;
    const client = clientOf(request, keyed());
    const { requestsPerMinute, tokensPerMinute, concurrent = 0 } = request.key?.limits ?? {};
    return {
      client,
      requests: this.#limiter('requests', requestsPerMinute ?? standard.requests),
      tokens: this.#limiter('tokens', tokensPerMinute ?? standard.tokens),
      begin: () => this.#begin(client, request.key, concurrent),
    };
  }

  #limiter(unit: Unit, limit: number): RateLimiter | null {
    if (limit === 0) return null;
    const id = `${unit} ${limit}`;
    const limiter = this.#limiters.get(id) ?? this.#options.createLimiter(unit, limit);
    this.#limiters.set(id, limiter);
    return limiter;
  }

  #begin(client: string, key: ApiKey | null, most: number): () => void {
    if (most === 0) return () => undefined;
    const running = this.#running.get(client) ?? 0;
    if (running >= most) {
      throw new OctavoError(
        'rate_limited',
        `the key ${key?.name} may have ${most} requests at a time; so many run already`,
        { retryAfterSeconds: 1 },
      );
    }
    this.#running.set(client, running + 1);
    return () => {
      const left = (this.#running.get(client) ?? 1) - 1;
      if (left === 0) this.#running.delete(client);
      else this.#running.set(client, left);
    };
  }
}
