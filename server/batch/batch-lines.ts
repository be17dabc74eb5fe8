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

/**
 * Reads the requests of a batch, one JSON object a line; empty lines are none.
 *
 * @param path for messages
 * @throws OctavoError `usage` for the first line that is no request, and for two of one
 *   `custom_id`: answers could not be told apart
 */
export function readBatchLines(text: string, path: string): readonly BatchLine[] {
  const lines: BatchLine[] = [];
  const ids = new Map<string, number>();
  for (const [i, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const fail = (problem: string): never => {
      throw new OctavoError('usage', `--input-file ${clip(path)}:${i + 1}: ${problem}`, {
        param: '--input-file',
      });
    };
    const value = parse(line) ?? fail('must be a JSON object');
    if (!Check(LineSchema, value)) return fail(problemOf(value));
    const before = ids.get(value.custom_id);
    if (before !== undefined) {
      return fail(`custom_id ${clip(value.custom_id)}: line ${before} has the same`);
    }
    if ('stream' in value.body && value.body.stream === true) {
      return fail('body.stream: an answer of a batch is never streamed');
    }
    ids.set(value.custom_id, i + 1);
    lines.push(value);
  }
  return lines;
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
