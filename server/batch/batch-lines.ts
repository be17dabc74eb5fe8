import { type Static, Type } from 'typebox';
import { Check, Errors } from 'typebox/value';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';

/** What a line may ask for. */
export const BATCH_URLS = [
  '/v1/chat/completions',
  '/v1/completions',
  '/v1/embeddings',
  '/v1/responses',
  '/v1/messages',
] as const;

/** OpenAI's form of a line. */
const LineSchema = Type.Object({
  custom_id: Type.String({ minLength: 1 }),
  method: Type.Literal('POST'),
  url: Type.Enum([...BATCH_URLS]),
  body: Type.Object({}),
});

/** One request of a batch. */
export type BatchLine = Static<typeof LineSchema>;

/** Reads the requests of one batch, line by line. */
export class BatchLineReader {
  readonly #lines = new Map<string, number>();

  /** Requests that were read. */
  get count(): number {
    return this.#lines.size;
  }

  /**
   * @param number of the line, from 1 on
   * @param fail throws the error for what is wrong with the line
   * @returns null for an empty line, which is no request
   * @throws what `fail` throws for a line that is no request, and for the second one of a
   *   `custom_id`: answers could not be told apart
   */
  read(line: string, number: number, fail: (problem: string) => never): BatchLine | null {
    if (line.trim() === '') return null;
    const value = parse(line) ?? fail('must be a JSON object');
    if (!Check(LineSchema, value)) return fail(problemOf(value));
    const before = this.#lines.get(value.custom_id);
    if (before !== undefined) {
      return fail(`custom_id ${clip(value.custom_id)}: line ${before} has the same`);
    }
    if ('stream' in value.body && value.body.stream === true) {
      return fail('body.stream: an answer of a batch is never streamed');
    }
    this.#lines.set(value.custom_id, number);
    return value;
  }
}

/**
 * Reads the requests of a batch, one JSON object a line; empty lines are none.
 *
 * @param path for messages
 * @throws OctavoError `usage` as `BatchLineReader.read`
 */
export function readBatchLines(text: string, path: string): readonly BatchLine[] {
  const reader = new BatchLineReader();
  return text.split('\n').flatMap((line, i) => {
    const request = reader.read(line, i + 1, (problem) => {
      throw new OctavoError('usage', `--input-file ${clip(path)}:${i + 1}: ${problem}`, {
        param: '--input-file',
      });
    });
    return request ?? [];
  });
}

function problemOf(value: unknown): string {
  const [first] = Errors(LineSchema, value);
  const field = first?.instancePath.split('/')[1] ?? '';
  if (field === 'url') return `url must be one of ${BATCH_URLS.join(', ')}`;
  if (field === 'method') return 'method must be POST';
  return 'must have custom_id (a text that is not empty), method, url and body (an object)';
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch {
    return null;
  }
}
