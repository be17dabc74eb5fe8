import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Static, type TSchema, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { isGgufFile } from '../checkpoint/gguf-files.js';
import { OctavoError } from '../errors.js';
import { ggufText } from '../gguf/model-text.js';
import { parsePythonJson } from '../python-json.js';

/**
 * Reads a text file of a model directory, or what a GGUF file has in its place.
 *
 * @returns null when an optional file is missing
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`
 */
export async function readModelText(
  dir: string,
  file: string,
  options: { required: boolean },
): Promise<string | null> {
  const path = join(dir, file);
  try {
    const text = isGgufFile(dir) ? ggufText(dir, file) : await readFile(path, 'utf8');
    if (text !== null || !options.required) return text;
  } catch (error) {
    if (error instanceof OctavoError) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== 'ENOENT' && code !== 'ENOTDIR') {
      throw new OctavoError('model_file_corrupt', `${path} cannot be read: ${code ?? 'unknown'}`, {
        param: path,
        cause: error,
      });
    }
    if (!options.required) return null;
  }
  throw new OctavoError('model_file_missing', `the model directory has no ${file}: ${path}`, {
    param: path,
  });
}

/** Reads a JSON file and checks it against `schema`; throws as `readModelText` does. */
export async function readModelJson<Schema extends TSchema>(
  dir: string,
  file: string,
  schema: Schema,
  options: { required: boolean },
): Promise<Static<Schema> | null> {
  const text = await readModelText(dir, file, options);
  if (text === null) return null;
  const path = join(dir, file);
  let value: unknown;
  try {
    value = parsePythonJson(text);
  } catch (error) {
    throw new OctavoError('model_file_corrupt', `${path} is not valid JSON`, {
      param: path,
      cause: error,
    });
  }
  const [problem] = Compile(schema).Errors(value);
  if (problem) {
    const where = problem.instancePath === '' ? '' : ` at ${problem.instancePath}`;
    throw new OctavoError('model_file_corrupt', `${path}${where} ${problem.message}`, {
      param: path,
    });
  }
  return value as Static<Schema>;
}

/** A token in `tokenizer_config.json`: its text, or an object with its text. */
export const SpecialTokenSchema = Type.Union([
  Type.String(),
  Type.Object({ content: Type.String() }),
  Type.Null(),
]);

export function specialTokenText(token: Static<typeof SpecialTokenSchema> | undefined): string {
  if (token === undefined || token === null) return '';
  return typeof token === 'string' ? token : token.content;
}
