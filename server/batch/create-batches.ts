import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { Clock } from '../../engine/clock.js';
import { OctavoError } from '../../engine/errors.js';
import type { Settings } from '../config/settings.js';
import type { InFlight } from '../http/in-flight.js';
import type { KeyTable } from '../keys/key-table.js';
import { Batches } from './batches.js';
import { lockDirectory } from './directory-lock.js';
import { createLineSender } from './line-sender.js';

/** Sequences of batches that may run at a time. */
export const batchSeatsOf = ({
  batchMaxNumSeqs,
  maxNumSeqs,
}: Pick<Settings, 'batchMaxNumSeqs' | 'maxNumSeqs'>): number =>
  Math.min(maxNumSeqs, batchMaxNumSeqs || Math.max(1, Math.floor(maxNumSeqs / 4)));

/** What the batches of a server are made of. */
export interface BatchParts {
  readonly settings: Settings;
  readonly keys: KeyTable;
  readonly inFlight: InFlight;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * The batches of a server: they go on when it is ready, and stop when it drains, which then does
 * not wait for them. A directory that cannot be used, or that another server has, is an error of
 * the start (OctavoError `usage`).
 *
 * @returns the batches, once the server is ready; it throws OctavoError `batches_not_enabled`
 *   without `--batch-dir`
 */
export function createBatches(app: FastifyInstance, parts: BatchParts): () => Batches {
  const { settings, keys, inFlight, clock, logger } = parts;
  const { batchDir: directory } = settings;
  if (directory === undefined) return refuseBatches;
  let batches: Batches | null = null;
  let unlock = async (): Promise<void> => undefined;
  const stop = async (): Promise<void> => batches?.stop();
  app.addHook('onReady', async () => {
    unlock = await lockDirectory(directory);
    batches = new Batches({
      directory,
      maxStorage: settings.maxBatchStorage,
      send: createLineSender(app, keys),
      clock,
      logger,
      concurrency: batchSeatsOf(settings),
    });
    batches.start();
  });
  inFlight.drainSignal.addEventListener('abort', () => void stop(), { once: true });
  app.addHook('preClose', stop);
  app.addHook('onClose', () => unlock());
  return () => {
    if (batches) return batches;
    throw new Error('the server is not ready');
  };
}

/** What is said instead where there is no directory. */
function refuseBatches(): never {
  const message =
    'files and batches need a directory: start the server with --batch-dir; octavo run-batch answers a file without a server';
  throw new OctavoError('batches_not_enabled', message);
}
