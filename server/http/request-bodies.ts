import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { OctavoError } from '../../engine/errors.js';
import type { BodyMemory } from './body-memory.js';
import { speaksOllama } from './ollama-errors.js';
import { OnePerTurn } from './turns.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The body goes to the disk as it comes, so that it takes no memory. */
    isStreamed?: boolean;
  }
}

/** Characters that take some 10 ms to parse and to validate. */
const LARGE_BODY = 2 ** 18;

/**
 * Reads bodies as Fastify does, with three differences: of large ones, one is parsed and validated
 * in each turn of the event loop; for a route without a body, an empty body is accepted whatever
 * the content type (the official Python client sends one with every DELETE); and errors name a key
 * that is forbidden in JavaScript objects.
 */
export function readJsonBodies(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  const turns = new OnePerTurn();
  app.removeContentTypeParser('application/json');
  const types = ['application/json', FORM];
  app.addContentTypeParser(types, { parseAs: 'string' }, (request, body, done) => {
    if (isForm(request) && !isFromCurl(request)) {
      const message = 'the content-type must be application/json';
      done(new OctavoError('unsupported_media_type', message));
      return;
    }
    if (body === '' && !takesBody(request)) {
      done(null, undefined);
      return;
    }
    const read = (): void =>
      void parse(request, body as string, (error, value) => {
        done(error === null ? null : (forbiddenKey(body as string) ?? error), value);
      });
    if (body.length > LARGE_BODY) turns.add(read);
    else read();
  });
}

/** What `curl -d` says of every body. */
const FORM = 'application/x-www-form-urlencoded';

const isForm = ({ headers }: FastifyRequest): boolean =>
  headers['content-type']?.startsWith(FORM) === true;

/**
 * Ollama's users write `curl -d '{...}'` without a content type. A page of another site could send
 * this type, too, but its browser would add one of these headers.
 */
const isFromCurl = ({ url, headers }: FastifyRequest): boolean =>
  speaksOllama({ url }) && headers.origin === undefined && headers['sec-fetch-site'] === undefined;

/**
 * Bounds what the bodies of all connections take while they are received. To be called after all
 * other hooks are added.
 */
export function boundBodies(app: FastifyInstance, memory: BodyMemory): void {
  // Not async: Fastify must begin to read in the same turn, or it would miss what is counted here.
  app.addHook('preParsing', (request, _reply, payload, done) => {
    if (request.routeOptions.config.isStreamed === true) {
      done(null, payload);
      return;
    }
    // Fastify gives up a body whose stream fails; the connection stays, for the answer.
    const account = memory.open((error) => void payload.emit('error', error));
    payload.on('data', (chunk: Buffer) => account.add(chunk.length));
    const close = (): void => account.close();
    for (const event of ['end', 'error', 'close']) payload.once(event, close);
    done(null, payload);
  });
}

const takesBody = ({ routeOptions }: FastifyRequest): boolean =>
  routeOptions.schema?.body !== undefined;

/** Null for a text that is no JSON at all. */
function forbiddenKey(body: string): OctavoError | null {
  let found: string | null = null;
  try {
    JSON.parse(body, (key, value: unknown) => {
      const isPoison = key === 'constructor' && typeof value === 'object' && value !== null;
      if (key === '__proto__' || (isPoison && Object.hasOwn(value, 'prototype'))) found ??= key;
      return value;
    });
  } catch {
    return null;
  }
  return found === null
    ? null
    : new OctavoError(
        'invalid_request',
        `the body has a key ${String(found)}, which is not allowed`,
      );
}

/**
 * `Expect: 100-continue`: a client that asks whether it should send its body is told so once the
 * request is let in and its length is not too large. A refused client gets the answer instead, and
 * its connection ends, because the body may or may not follow. Other expectations are ignored, as
 * RFC 9110 allows.
 *
 * @param maxBodySize bytes, of routes that have no limit of their own
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
    const most = request.routeOptions.bodyLimit ?? maxBodySize;
    const isTooLarge = Number(request.headers['content-length'] ?? 0) > most;
    if (!asked.has(request.raw) || isTooLarge) return;
    reply.raw.shouldKeepAlive = true;
    reply.raw.writeContinue();
  });
}

/** Maximum bytes of a refused body that are read and discarded. */
const MAX_DISCARDED = 64 * 2 ** 20;

/**
 * Lets a client finish sending a refused body. If the connection were closed at once, the client's
 * next write would fail, and it would see a network error instead of the answer, and retry. This is
 * not done for larger bodies, or without a length.
 */
export function drainRefusedBody(request: FastifyRequest, reply: FastifyReply): void {
  const length = Number(request.headers['content-length'] ?? Number.POSITIVE_INFINITY);
  if (length <= MAX_DISCARDED) reply.removeHeader('connection');
}
