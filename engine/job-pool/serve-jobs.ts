import { parentPort } from 'node:worker_threads';
import { type ErrorRecord, OctavoError, toErrorRecord } from '../errors.js';

/** What a thread says about the job that it was sent. */
export type JobReply<Result> =
  /** The thread has loaded what the job needs; the budget starts now. */
  | { readonly type: 'begun' }
  /** The job's sizes, for the error's message if it takes too long. */
  | { readonly type: 'measured'; readonly sizes: string }
  | { readonly type: 'done'; readonly result: Result }
  /** The job's own error; the thread can go on. */
  | { readonly type: 'failed'; readonly error: ErrorRecord };

/** The jobs of one thread. */
export interface JobServer<Work, Result> {
  /** Loads what a job needs, outside its budget. */
  prepare?(work: Work): Promise<void>;
  /**
   * @param onMeasured receives the job's sizes in words, before the work that they make long
   * @throws OctavoError an error for the client
   */
  run(work: Work, onMeasured: (sizes: string) => void): Result | Promise<Result>;
}

/**
 * Does the jobs that this thread is sent, one at a time. The pool decides which job is next and how
 * long it may take; it ends this thread when that is exceeded.
 */
export function serveJobs<Work, Result>(server: JobServer<Work, Result>): void {
  const port = parentPort;
  if (!port) throw new Error('jobs are done in a worker thread');
  const reply = (message: JobReply<Result>): void => port.postMessage(message);
  const serve = async (work: Work): Promise<void> => {
    try {
      await server.prepare?.(work);
      reply({ type: 'begun' });
      reply({
        type: 'done',
        result: await server.run(work, (sizes) => reply({ type: 'measured', sizes })),
      });
    } catch (error) {
      reply({ type: 'failed', error: recordOf(error) });
    }
  };
  port.on('message', (work: Work) => void serve(work));
}

/** An error of another kind is a bug of ours; the thread can go on. */
function recordOf(error: unknown): ErrorRecord {
  if (error instanceof OctavoError) return toErrorRecord(error);
  const message = error instanceof Error ? error.message : String(error);
  return { kind: 'internal', message, param: null };
}
