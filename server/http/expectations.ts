import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyInstance } from 'fastify';

/**
 * `Expect: 100-continue`: a client that asks whether it should send its body is told so once the request is let in and its length is not
 * too large. One that is refused gets the answer instead, and its connection ends: nobody knows whether the body still comes.
 * Other expectations are ignored, as RFC 9110 allows.
 *
 * @param maxBodySize bytes
 */
export function answerExpectations(app: FastifyInstance, maxBodySize: number): void {
  const asked = new WeakSet<IncomingMessage>();
  const handle = (request: IncomingMessage, response: ServerResponse): void =>
    void app.server.emit('request', request, response);
  app.server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    asked.add(request);
    response.shouldKeepAlive = false;
    handle(request, response);
  });
  app.server.on('checkExpectation', handle);
  app.addHook('preParsing', async (request, reply) => {
    const isTooLarge = Number(request.headers['content-length'] ?? 0) > maxBodySize;
    if (!asked.has(request.raw) || isTooLarge) return;
    reply.raw.shouldKeepAlive = true;
    reply.raw.writeContinue();
  });
}
