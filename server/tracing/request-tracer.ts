import type { FastifyRequest } from 'fastify';

/** A request that has ended, with the data of its log line. */
export interface EndedRequest {
  readonly request: FastifyRequest;
  /** As it was registered. */
  readonly route: string;
  /** Of the answer; 499 when the client left before it. */
  readonly status: number;
  /** The end, on the server's monotonic clock, milliseconds. */
  readonly now: number;
}

/**
 * Converts requests to traces. It does nothing while a request runs: spans are created from its
 * record once it has ended.
 */
export interface RequestTracer {
  /**
   * Must not throw.
   *
   * @returns the trace's id (32 hexadecimal digits), or null for a route that generates nothing, or
   *   a trace that is not sampled
   */
  trace(ended: EndedRequest): string | null;
  /**
   * Sends what is left. A collector that does not answer is given up after the exporter's timeout.
   */
  close(): Promise<void>;
}
