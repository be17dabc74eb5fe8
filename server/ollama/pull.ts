import type { FastifyReply } from 'fastify';
import { OctavoError } from '../../engine/errors.js';
import type { RequestHost } from '../generation/run-in-flight.js';
import { toOctavoError, toOllamaBody } from '../http/errors.js';
import { ReplyStream } from '../http/reply-stream.js';
import type { ModelEntry } from '../pool/model-entry.js';

/** Between two lines about one file, in milliseconds. */
const PROGRESS_MS = 200;

/**
 * Fetches a model, with its progress as lines of JSON. A client that leaves does not end it:
 * others may wait for the same.
 *
 * @returns the answer of one that is not streamed
 * @throws OctavoError why it cannot be fetched, unless the stream has begun: its last line is then
 *   an error
 */
export async function pullModel(
  { clock, logger }: Pick<RequestHost, 'clock' | 'logger'>,
  entry: ModelEntry,
  reply: FastifyReply,
  isStream: boolean,
): Promise<object | undefined> {
  const { source } = entry;
  if (!source) throw new Error(`${entry.name} has no source`);
  if (!isStream) {
    await source.measure().catch((error: unknown) => {
      throw failure(entry, error);
    });
    return { status: 'success' };
  }
  const lines = new ReplyStream(reply, clock, null, 'application/x-ndjson');
  const send = (line: object): void => void lines.write(`${JSON.stringify(line)}\n`);
  send({ status: 'pulling manifest' });
  let last = { file: '', at: Number.NEGATIVE_INFINITY };
  try {
    await source.measure((file, completed, total) => {
      const isDue = file !== last.file || clock.now() - last.at >= PROGRESS_MS;
      if (!isDue && completed < total) return;
      last = { file, at: clock.now() };
      send({ status: `downloading ${file}`, digest: file, total, completed });
    });
    lines.end(`${JSON.stringify({ status: 'success' })}\n`);
  } catch (error) {
    const known = failure(entry, error);
    logger.error({ err: error, model: entry.name }, `octavo: ${known.message}`);
    reply.request.failure = known;
    lines.fail(`${JSON.stringify(toOllamaBody(known))}\n`);
  }
  return undefined;
}

function failure({ name }: ModelEntry, error: unknown): OctavoError {
  const message = `the model '${name}' cannot be fetched: ${toOctavoError(error).message}`;
  return new OctavoError('model_unavailable', message, { param: 'model', cause: error });
}
