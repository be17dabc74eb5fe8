import { setMaxListeners } from 'node:events';
import type { FastifyReply } from 'fastify';
import { OctavoError } from '../../engine/errors.js';

/** The generating requests in flight, and whether new ones are admitted. */
export class InFlight {
  readonly #controllers = new Set<AbortController>();
  readonly #drain = new AbortController();
  #onIdle: (() => void) | null = null;

  /** Requests that have begun and not ended. */
  get size(): number {
    return this.#controllers.size;
  }

  get draining(): boolean {
    return this.#drain.signal.aborted;
  }

  /** Aborted when the server drains, for what is not waited for. */
  get drainSignal(): AbortSignal {
    return this.#drain.signal;
  }

  /** Refuses all later requests. */
  drain(): void {
    this.#drain.abort(drainingError());
  }

  /** @throws OctavoError `draining` */
  assertAdmitting(): void {
    if (this.draining) throw drainingError();
  }

  /**
   * Registers a request; each `begin` needs its `end`.
   *
   * @returns the controller that aborts the request
   */
  begin(): AbortController {
    this.assertAdmitting();
    const controller = new AbortController();
    // Each sequence of a batch adds a listener, so many are no leak.
    setMaxListeners(0, controller.signal);
    this.#controllers.add(controller);
    return controller;
  }

  end(controller: AbortController): void {
    this.#controllers.delete(controller);
    if (this.#controllers.size === 0) this.#onIdle?.();
  }

  /** Resolves when no request is in flight. */
  async idle(): Promise<void> {
    if (this.#controllers.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
  }

  /** Ends every request in flight with this error. */
  abortAll(reason: OctavoError): void {
    for (const controller of this.#controllers) controller.abort(reason);
  }
}

const drainingError = (): OctavoError => new OctavoError('draining', 'the server is shutting down');

/** Does work for a client; the signal is aborted when the client leaves. */
export async function whileConnected<Result>(
  reply: FastifyReply,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const controller = new AbortController();
  const leave = (): void => controller.abort(closedBecause(reply));
  if (reply.raw.destroyed) leave();
  reply.raw.once('close', leave);
  try {
    return await work(controller.signal);
  } finally {
    reply.raw.off('close', leave);
  }
}

/**
 * Why a connection ended before its answer was sent: the server's own error, or the client has
 * left.
 */
export function closedBecause({ raw }: Pick<FastifyReply, 'raw'>): OctavoError {
  const reason = raw.errored ?? raw.socket?.errored;
  if (reason instanceof OctavoError) return reason;
  return new OctavoError('client_closed', 'the client closed the connection');
}
