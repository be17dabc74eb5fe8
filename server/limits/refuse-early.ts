import type { FastifyRequest } from 'fastify';
import type { AppContext } from '../app-context.js';

/**
 * A hook for routes that generate: says no before the body is read, parsed and tokenized, with the
 * least that a refusal can cost.
 *
 * @returns a function that throws OctavoError `draining`, `overloaded`
 */
export function refuseEarly({
  inFlight,
  admission,
}: Pick<AppContext, 'inFlight' | 'admission'>): (request: FastifyRequest) => Promise<void> {
  return async (request) => {
    inFlight.assertAdmitting();
    admission.assertRoom(request);
  };
}
