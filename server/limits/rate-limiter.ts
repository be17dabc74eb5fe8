/** What is left of a budget after a request was charged. */
export interface Budget {
  /** Of a whole window. */
  readonly limit: number;
  readonly remaining: number;
  /** Milliseconds until the window ends and the budget is whole again. */
  readonly resetMs: number;
}

/**
 * Counts what each client takes in a window of time. Implementations: in this process, and in Redis
 * for several of them; both are held to one suite of tests.
 */
export interface RateLimiter {
  readonly limit: number;
  /**
   * Charges a client, all or nothing.
   *
   * @param client any string; it is not logged
   * @returns the budget, and whether the charge was made; when not, nothing was charged
   */
  charge(client: string, amount: number): Promise<Budget & { readonly allowed: boolean }>;
  /** Refunds a part of an earlier charge, if its window has not ended. */
  refund(client: string, amount: number): Promise<void>;
}
