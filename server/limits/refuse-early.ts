import type { FastifyRequest } from 'fastify';
import type { InFlight } from '../http/in-flight.js';
import type { Admission } from './admission.js';

/**
 * A hook for generating routes that refuses before the body is read, parsed and tokenized, at the
 * least possible cost.
 *
 * @returns a function that throws OctavoError `draining`, `overloaded`
 */
export function refuseEarly({
  inFlight,
  admission,
}: {
  readonly inFlight: Pick<InFlight, 'assertAdmitting'>;
  readonly admission: Pick<Admission, 'assertRoom'>;
}): (request: FastifyRequest) => Promise<void> {
  return async (request) => {
    inFlight.assertAdmitting();
    // A request of a batch waits elsewhere, and takes no place in the queue.
    if (!request.isBatch) admission.assertRoom(request);
  };
}
