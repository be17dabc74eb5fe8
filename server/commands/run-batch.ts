import { readFileSync } from 'node:fs';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import { AnswerFile } from '../batch/answer-file.js';
import { readBatchLines } from '../batch/batch-lines.js';
import { type LineAnswer, runLines } from '../batch/run-lines.js';
import type { Settings } from '../config/settings.js';
import { createLogger } from '../logger.js';
import { MountedServer } from '../mount/mounted-server.js';
import { engineOptions } from './local-model.js';

const INTERRUPTED = 130;

/** Requests that are prepared while as many as can run do. */
const AHEAD = 2;

/** Time between two lines of progress, milliseconds. */
const PROGRESS_MS = 5000;

/** None of them may be refused: a batch waits. */
const NO_LIMITS = {
  maxQueueTime: 0,
  maxQueuedRequests: 0,
  maxQueuedTokens: 0,
  requestTimeout: 0,
  shutdownTimeout: 0,
};

/**
 * `octavo run-batch`: answers the requests of a file without a server. Ctrl-C ends it, and the same
 * command goes on from there.
 *
 * @returns the exit code: 1 when a request was answered with an error
 * @throws OctavoError `usage`, and for errors of the model
 */
export async function runBatch(input: string, output: string, settings: Settings): Promise<number> {
  const text = read(input);
  const lines = readBatchLines(text, input);
  const answers = await openAnswers(output, text);
  const log = (line: string): void => void process.stderr.write(`${line}\n`);
  const logger = createLogger('warn', process.stderr, log);
  const options = await engineOptions(settings, log);
  const server = new MountedServer({ ...options, ...NO_LIMITS }, '', logger);
  const controller = new AbortController();
  const interrupt = (): void => {
    controller.abort();
    void server.close();
  };
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  try {
    const app = await server.ready;
    if (answers.done.size > 0) log(`octavo: ${answers.done.size} answers are there from before`);
    let saidAt = performance.now();
    const failed = await runLines(lines, answers, {
      concurrency: settings.maxNumSeqs * AHEAD,
      signal: controller.signal,
      send: async ({ url, body }): Promise<LineAnswer> => {
        const response = await app.inject({ method: 'POST', url, payload: body });
        const requestId = String(response.headers['x-request-id']);
        return { status: response.statusCode, requestId, body: response.json<unknown>() };
      },
      progress: (answered) => {
        if (performance.now() - saidAt < PROGRESS_MS) return;
        saidAt = performance.now();
        log(`octavo: ${answered} of ${lines.length} requests are answered`);
      },
    });
    if (controller.signal.aborted) return INTERRUPTED;
    await answers.finish();
    log(`octavo: ${lines.length} requests are answered, ${failed} with an error: ${output}`);
    return failed === 0 ? 0 : 1;
  } finally {
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
    await server.close();
    await answers.close();
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw usage('--input-file', path, 'cannot be read', error);
  }
}

async function openAnswers(path: string, requests: string): Promise<AnswerFile> {
  try {
    return await AnswerFile.open(path, requests);
  } catch (error) {
    throw usage('--output-file', path, 'cannot be written', error);
  }
}

function usage(flag: string, path: string, problem: string, cause: unknown): OctavoError {
  const code = (cause as NodeJS.ErrnoException).code ?? 'unknown';
  const message = `${flag} ${clip(path)}: ${problem} (${code})`;
  return new OctavoError('usage', message, { param: flag, cause });
}
