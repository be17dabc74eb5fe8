import type { Sequence } from '../sequence.js';
import type { Ranked } from './rank.js';
import type { SchedulingPolicy } from './scheduling-policy.js';
import { WaitingQueue } from './waiting-queue.js';

/** Tokens that a tenant gets in one round. */
export const QUANTUM = 64;

/** With fewer tenants, none is forgotten. */
const MIN_REMEMBERED = 1024;

/** A tenant's turn: ranked by its round, and in a round by when it came to it. */
class Tenant implements Ranked {
  /** By arrival. */
  readonly waiting = new WaitingQueue<Sequence>();
  /** Round and turn with which it is in the queue of tenants. */
  rank = 0;
  order = 0;
  /** Its tokens that were computed; never less than begun rounds have given everyone. */
  served = 0;
  /** Running sequences. */
  running = 0;
}

const roundOf = ({ served }: Tenant): number => Math.floor(served / QUANTUM);

/**
 * Fair shares: deficit round robin over tenants in tokens (Shreedhar and Varghese 1995). Each round
 * gives every tenant that has something waiting `QUANTUM` tokens; a tenant that has taken more,
 * because how long an output becomes shows only at its end, is left out of as many rounds (surplus
 * round robin). What counts is what is computed: no cached prefix, and nothing twice after a
 * preemption.
 *
 * Rounds in which no tenant has a turn are skipped: the tenant with the smallest round is next,
 * which costs O(log n). A tenant that comes, or comes back, joins the round after the present one.
 * So time without requests earns nothing, debts stay, and no sequence starves: it waits for the
 * rounds that its tenant owes, and each round ends after a quantum, and one request more, of each
 * tenant.
 *
 * Of the running sequences, each tenant's first is served before any tenant's second, and so on.
 * When memory runs out, the tenant that holds most seats gives up its last.
 */
export class FairSharePolicy implements SchedulingPolicy {
  readonly #tenants = new Map<string, Tenant>();
  /** Tenants with waiting sequences. */
  readonly #queue = new WaitingQueue<Tenant>();
  /** By sequence: its leading tokens that were counted, which may have to be computed again. */
  readonly #counted = new WeakMap<Sequence, number>();
  #round = 0;
  #turns = 0;
  #size = 0;
  #mostRemembered = MIN_REMEMBERED;

  get size(): number {
    return this.#size;
  }

  /** Tenants that are remembered. */
  get numTenants(): number {
    return this.#tenants.size;
  }

  add(sequence: Sequence): void {
    const tenant = this.#tenantOf(sequence);
    // Within a tenant, the order is that of arrival.
    sequence.rank = 0;
    tenant.waiting.push(sequence);
    this.#size += 1;
    if (tenant.waiting.size > 1) return;
    tenant.served = Math.max(tenant.served, (this.#round + 1) * QUANTUM);
    this.#enter(tenant);
  }

  remove(sequence: Sequence): boolean {
    const tenant = this.#tenantOf(sequence);
    if (!tenant.waiting.remove(sequence)) return false;
    this.#size -= 1;
    if (tenant.waiting.size === 0) this.#queue.remove(tenant);
    return true;
  }

  next(): Sequence | undefined {
    for (;;) {
      const tenant = this.#queue.peek();
      if (!tenant) return undefined;
      if (tenant.rank === roundOf(tenant)) {
        this.#round = tenant.rank;
        return tenant.waiting.peek();
      }
      // It has used its turn up.
      this.#queue.remove(tenant);
      this.#enter(tenant);
    }
  }

  *[Symbol.iterator](): Generator<Sequence> {
    for (const { waiting } of this.#tenants.values()) yield* waiting;
  }

  started(sequence: Sequence): void {
    const tenant = this.#tenantOf(sequence);
    sequence.rank = tenant.running;
    tenant.running += 1;
  }

  stopped(sequence: Sequence): void {
    this.#tenantOf(sequence).running -= 1;
  }

  computing(sequence: Sequence, from: number, to: number): void {
    const first = Math.max(from, this.#counted.get(sequence) ?? 0);
    if (to <= first) return;
    this.#counted.set(sequence, to);
    this.#tenantOf(sequence).served += to - first;
  }

  checkIntegrity(): void {
    let waiting = 0;
    for (const [name, tenant] of this.#tenants) {
      waiting += tenant.waiting.size;
      if (tenant.running < 0) throw new Error(`tenant ${name} runs ${tenant.running} sequences`);
    }
    const queued = [...this.#queue];
    const hasNothing = queued.some((tenant) => tenant.waiting.size === 0);
    if (waiting !== this.#size || hasNothing) {
      throw new Error(`${this.#size} wait, ${waiting} with ${queued.length} queued tenants`);
    }
  }

  /** Its turn is the last of its round. */
  #enter(tenant: Tenant): void {
    tenant.rank = roundOf(tenant);
    tenant.order = this.#turns++;
    this.#queue.push(tenant);
  }

  #tenantOf({ spec: { tenant: name = '' } }: Sequence): Tenant {
    const known = this.#tenants.get(name);
    if (known) return known;
    if (this.#tenants.size >= this.#mostRemembered) this.#forgetIdle();
    const tenant = new Tenant();
    this.#tenants.set(name, tenant);
    return tenant;
  }

  /** O(1) for each tenant, over time. One without requests and debts is as good as a new one. */
  #forgetIdle(): void {
    for (const [name, tenant] of this.#tenants) {
      const isBusy = tenant.running > 0 || tenant.waiting.size > 0;
      if (!isBusy && roundOf(tenant) <= this.#round + 1) this.#tenants.delete(name);
    }
    this.#mostRemembered = Math.max(MIN_REMEMBERED, 2 * this.#tenants.size);
  }
}
