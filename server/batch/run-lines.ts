import { randomUUID } from 'node:crypto';
import type { AnswerFile } from './answer-file.js';
import type { BatchAnswer } from './answer-journal.js';
import type { BatchLine } from './batch-lines.js';

/** What a request is answered with. */
export interface LineAnswer {
  readonly status: number;
  readonly requestId: string;
  readonly body: unknown;
}

export interface RunLinesOptions {
  /** Requests at a time. */
  readonly concurrency: number;
  readonly send: (line: BatchLine) => Promise<LineAnswer>;
  /** Aborted: no further request begins, and answers of those that run are not kept. */
  readonly signal: AbortSignal;
  /** Called after each answer. */
  readonly progress: (answered: number, failed: number) => void;
}

/**
 * Sends the requests of a batch that have no answer yet, and writes each answer when it comes.
 *
 * @returns how many were answered with an error
 * @throws what `send` and the file throw, when the running requests have ended
 */
export async function runLines(
  lines: readonly BatchLine[],
  answers: AnswerFile,
  { concurrency, send, signal, progress }: RunLinesOptions,
): Promise<number> {
  const waiting = lines.filter(({ custom_id: id }) => !answers.done.has(id)).values();
  let answered = answers.done.size;
  let failed = 0;
  let isBroken = false;
  const work = async (): Promise<void> => {
    for (const line of waiting) {
      const answer = await send(line);
      if (signal.aborted || isBroken) return;
      await answers.add(toAnswer(line, answer));
      answered += 1;
      if (answer.status >= 400) failed += 1;
      progress(answered, failed);
    }
  };
  const workers = Array.from({ length: concurrency }, async () => {
    try {
      await work();
    } catch (error) {
      isBroken = true;
      throw error;
    }
  });
  const results = await Promise.allSettled(workers);
  const broken = results.find((result) => result.status === 'rejected');
  if (broken) throw broken.reason;
  return failed;
}

/** An answer as a line of the file. */
export const toAnswer = ({ custom_id }: BatchLine, answer: LineAnswer): BatchAnswer => ({
  id: newAnswerId(),
  custom_id,
  response: { status_code: answer.status, request_id: answer.requestId, body: answer.body },
  error: null,
});

export const newAnswerId = (): string => `batch_req_${randomUUID().replaceAll('-', '')}`;
