import { readdir, readFile } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import { modelFiles, SUFFIXES } from '../variants.js';

/**
 * Files of a model of text and images besides its decoder; paths relative to the model's directory.
 * Null where there is none.
 */
export interface ModelParts {
  /** Token ids to the decoder's `inputs_embeds`. */
  readonly embedding: string | null;
  /** Pixels to rows that stand in the place of image tokens. */
  readonly vision: string | null;
}

type Part = keyof ModelParts;

/**
 * Names without endings, from the decoder's folder: transformers.js', those of ONNX Runtime GenAI's
 * examples, and mobius', which has a folder for each part.
 */
const NAMES: Readonly<Record<Part, readonly string[]>> = {
  embedding: ['embed_tokens', 'embedding', '../embedding/model'],
  vision: ['vision_encoder', 'vision', '../vision_encoder/model'],
};

const File = Type.Object({ filename: Type.String() });
const GenaiSchema = Type.Object({
  model: Type.Object({ embedding: Type.Optional(File), vision: Type.Optional(File) }),
});

/** The parts of a model on disk. @param decoder path of its decoder in the directory */
export async function findParts(modelDir: string, decoder: string): Promise<ModelParts> {
  const folder = posix.dirname(decoder);
  const names = await readdir(join(modelDir, folder)).catch(() => []);
  const files = await modelFiles(modelDir);
  for (const name of names) files.add(posix.join(folder, name));
  const stated = await statedByGenai(modelDir);
  const found = partsAmong(files, decoder);
  const choose = (part: Part): string | null => {
    const name = stated[part];
    return name !== undefined && files.has(name) ? name : found[part];
  };
  return { embedding: choose('embedding'), vision: choose('vision') };
}

/**
 * The same among the files of a directory or a repository. A part has the decoder's number format
 * where there is such a file, else the first that there is.
 */
export function partsAmong(files: ReadonlySet<string>, decoder: string): ModelParts {
  const folder = posix.dirname(decoder);
  const suffixes = Object.values(SUFFIXES);
  const own = suffixes
    .filter((suffix) => decoder.endsWith(`${suffix}.onnx`))
    .toSorted((a, b) => b.length - a.length)[0];
  const find = (part: Part): string | null => {
    const names = NAMES[part].flatMap((name) =>
      [own, ...suffixes].map((suffix) => `${name}${suffix}.onnx`),
    );
    return names.map((name) => posix.join(folder, name)).find((path) => files.has(path)) ?? null;
  };
  return { embedding: find('embedding'), vision: find('vision') };
}

/** ONNX Runtime GenAI's configuration names the files of all parts. */
async function statedByGenai(modelDir: string): Promise<Partial<Record<Part, string>>> {
  const text = await readFile(join(modelDir, 'genai_config.json'), 'utf8').catch(() => 'null');
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch {
    // `readModelConfig` reports a bad file where it is needed.
    return {};
  }
  if (!Check(GenaiSchema, config)) return {};
  const { embedding, vision } = config.model;
  return {
    ...(embedding && { embedding: embedding.filename }),
    ...(vision && { vision: vision.filename }),
  };
}
