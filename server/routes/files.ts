import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import multipart from '@fastify/multipart';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import type { FileObject } from '../batch/batch-objects.js';
import type { Batches } from '../batch/batches.js';
import { countRequests, receiveFile, tooLarge } from '../batch/receive-file.js';
import { pageOf } from '../openai/page.js';
import type { TypedApp } from './typed-app.js';

/** Bytes of an upload besides its file. */
const FORM_BYTES = 2 ** 16;

/** Seconds that a file may be asked to be kept for. */
const [LEAST_KEPT, MOST_KEPT] = [3600, 30 * 24 * 3600];

const Id = Type.Object({ id: Type.String() });

const ListQuery = Type.Object({
  after: Type.Optional(Type.String()),
  limit: Type.Optional(Type.String()),
  order: Type.Optional(Type.Enum(['asc', 'desc'])),
  purpose: Type.Optional(Type.String()),
});

/** Who owns what a request makes and sees. */
export const ownerOf = ({ key }: Pick<FastifyRequest, 'key'>): string =>
  key?.digest.toString('hex') ?? '';

/**
 * Files of batches.
 *
 * @param open throws OctavoError `batches_not_enabled` where there are none
 * @param maxBytes of one file
 */
export async function addFileRoutes(
  scope: TypedApp,
  open: () => Batches,
  maxBytes: number,
): Promise<void> {
  const limits = { fileSize: maxBytes, files: 1, fields: 8, fieldSize: 1000, parts: 9 };
  await scope.register(multipart, { limits, throwFileSizeLimit: false });
  const app = scope.withTypeProvider<TypeBoxTypeProvider>();

  const bodyLimit = maxBytes + FORM_BYTES;
  app.post('/v1/files', { bodyLimit, config: { isStreamed: true } }, async (request, _reply) => {
    if (!request.isMultipart()) {
      const message = 'the content-type must be multipart/form-data';
      throw new OctavoError('unsupported_media_type', message);
    }
    if (Number(request.headers['content-length'] ?? 0) > bodyLimit) throw tooLarge(maxBytes);
    const { files } = open();
    await files.assertRoom();
    const id = files.newId();
    try {
      const { filename, seconds } = await receive(request, files.pathOf(id), maxBytes);
      const requests = await countRequests(files.pathOf(id));
      const owner = ownerOf(request);
      return await files.add(id, { owner, filename, purpose: 'batch', requests, seconds });
    } catch (error) {
      await rm(files.pathOf(id), { force: true });
      throw isBrokenForm(error) ? refuse(`the form cannot be read: ${error.message}`) : error;
    }
  });

  app.get('/v1/files', { schema: { querystring: ListQuery } }, async ({ key, query }) => {
    const own = open()
      .files.list(ownerOf({ key }))
      .filter(({ purpose }) => query.purpose === undefined || purpose === query.purpose);
    const ordered: readonly FileObject[] = query.order === 'asc' ? own : own.toReversed();
    return pageOf(ordered, query, 'file', { byDefault: 10_000, most: 10_000 });
  });

  app.get('/v1/files/:id', { schema: { params: Id } }, async ({ key, params }) => {
    return open().files.get(ownerOf({ key }), params.id).object;
  });

  app.get('/v1/files/:id/content', { schema: { params: Id } }, async (request, reply) => {
    const { files } = open();
    const { id, bytes } = files.get(ownerOf(request), request.params.id).object;
    reply.header('content-type', 'application/octet-stream').header('content-length', bytes);
    return reply.send(createReadStream(files.pathOf(id)));
  });

  app.delete('/v1/files/:id', { schema: { params: Id } }, async ({ key, params: { id } }) => {
    await open().deleteFile(ownerOf({ key }), id);
    return { id, object: 'file', deleted: true };
  });
}

/** Reads the form, whose file goes to `path` as it comes. @throws OctavoError */
async function receive(
  request: FastifyRequest,
  path: string,
  maxBytes: number,
): Promise<{ filename: string; seconds: number | null }> {
  const fields = new Map<string, string>();
  let filename: string | null = null;
  for await (const part of request.parts()) {
    if (part.type === 'field') {
      fields.set(part.fieldname, String(part.value));
    } else if (part.fieldname === 'file') {
      filename = part.filename;
      await receiveFile(part.file, path, maxBytes);
    } else {
      throw refuse(
        `${clip(part.fieldname)} is no file that is taken; the field is called file`,
        'file',
      );
    }
  }
  if (filename === null) throw refuse('file: it is missing', 'file');
  const purpose = fields.get('purpose');
  if (purpose !== 'batch') {
    const given = purpose === undefined ? 'it is missing' : `${clip(purpose)} is not supported`;
    throw refuse(`purpose: ${given}; must be batch`, 'purpose');
  }
  return { filename, seconds: secondsOf(fields) };
}

function secondsOf(fields: ReadonlyMap<string, string>): number | null {
  const [anchor, given] = [
    fields.get('expires_after[anchor]'),
    fields.get('expires_after[seconds]'),
  ];
  if (anchor === undefined && given === undefined) return null;
  if (anchor !== 'created_at') {
    throw refuse('expires_after[anchor] must be created_at', 'expires_after');
  }
  const seconds = Number(given);
  if (Number.isInteger(seconds) && seconds >= LEAST_KEPT && seconds <= MOST_KEPT) return seconds;
  const message = `expires_after[seconds] must be an integer from ${LEAST_KEPT} to ${MOST_KEPT}`;
  throw refuse(message, 'expires_after');
}

/** The parser's own errors; those of the system and of Fastify have codes. */
const isBrokenForm = (error: unknown): error is Error =>
  error instanceof Error && error.constructor === Error && !('code' in error);

const refuse = (message: string, param?: string): OctavoError =>
  new OctavoError('invalid_request', message, param === undefined ? {} : { param });
