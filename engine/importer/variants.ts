import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import { OctavoError } from '../errors.js';

/**
 * Number formats by transformers.js' names, each with its suffix of file names, in the order in
 * which `auto` prefers them. Float formats keep the model's answers; of the others, 4 bits change
 * them least for their size. The 8-bit formats quantize activations, too; formats of fewer bits are
 * for models that were trained for them.
 */
export const SUFFIXES = {
  fp32: '',
  fp16: '_fp16',
  q4: '_q4',
  q4f16: '_q4f16',
  bnb4: '_bnb4',
  q8: '_quantized',
  int8: '_int8',
  uint8: '_uint8',
  q2: '_q2',
  q2f16: '_q2f16',
  q1: '_q1',
  q1f16: '_q1f16',
} as const;

export type Dtype = keyof typeof SUFFIXES;

export const DTYPES = Object.keys(SUFFIXES) as Dtype[];

/** Names that exporters give a decoder's file, the most common first. */
const BASES = [
  'onnx/model',
  'model',
  'onnx/decoder_model_merged',
  'decoder_model_merged',
  // The decoder among the parts of a model, as ONNX Runtime GenAI's examples name it.
  'text',
  // mobius gives each part of a model a folder.
  'decoder/model',
  // transformers 5 writes it, along with a prefill.onnx that takes no past.
  'decode',
];

export interface ModelVariant {
  /** From the file's name: fp32 without a suffix, although such a file may hold any format. */
  readonly dtype: Dtype;
  /** Relative to the model's directory. */
  readonly path: string;
}

/** Where a directory has its weights: at the top, in `onnx/`, or in a folder for each part. */
export const WEIGHT_FOLDERS = ['', 'onnx/', 'decoder/', 'embedding/', 'vision_encoder/'];

/** What lies there; paths relative to the model's directory. */
export async function modelFiles(modelDir: string): Promise<Set<string>> {
  const files = new Set<string>();
  for (const folder of WEIGHT_FOLDERS) {
    const names = await readdir(join(modelDir, folder)).catch(() => []);
    for (const name of names) files.add(`${folder}${name}`);
  }
  return files;
}

/** All ONNX decoders of a directory, the preferred one first. */
export async function listVariants(modelDir: string): Promise<ModelVariant[]> {
  const files = await modelFiles(modelDir);
  const variants = variantsAmong(files);
  const named = await namedByGenai(modelDir);
  if (named === null || !files.has(named) || variants.some(({ path }) => path === named)) {
    return variants;
  }
  return [{ dtype: 'fp32', path: named }, ...variants];
}

const GenaiSchema = Type.Object({
  model: Type.Object({ decoder: Type.Object({ filename: Type.String() }) }),
});

/** ONNX Runtime GenAI's configuration may name a decoder file with another name. */
async function namedByGenai(modelDir: string): Promise<string | null> {
  const text = await readFile(join(modelDir, 'genai_config.json'), 'utf8').catch(() => 'null');
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch {
    // `readModelConfig` reports a bad file where it is needed.
    return null;
  }
  if (!Check(GenaiSchema, config)) return null;
  const { filename } = config.model.decoder;
  return basename(filename) === filename ? filename : null;
}

/**
 * The ONNX decoders among a model's files, the preferred one first. Paths are relative to the
 * model's directory, on disk or in a repository.
 */
export function variantsAmong(files: ReadonlySet<string>): ModelVariant[] {
  const all = DTYPES.flatMap((dtype) =>
    BASES.map((base) => ({ dtype, path: `${base}${SUFFIXES[dtype]}.onnx` })),
  );
  return all.filter(({ path }) => files.has(path));
}

export interface ChosenVariant extends ModelVariant {
  /** Why it was chosen, and what else there is: one line for the user. */
  readonly reason: string;
}

/** @throws OctavoError `model_file_missing`: names what is there, or the paths that were tried */
export async function chooseVariant(
  modelDir: string,
  dtype: Dtype | 'auto',
): Promise<ChosenVariant> {
  const variants = await listVariants(modelDir);
  const chosen = variants.find((variant) => dtype === 'auto' || variant.dtype === dtype);
  if (!chosen) throw await missing(modelDir, dtype, variants);
  const others = variants.filter(({ path }) => path !== chosen.path);
  const rest =
    others.length === 0
      ? 'the only one there'
      : `also there: ${others.map((o) => `${o.path} (${o.dtype})`).join(', ')}`;
  const why = dtype === 'auto' ? 'by --dtype auto' : `by --dtype ${dtype}`;
  return { ...chosen, reason: `${chosen.path} (${chosen.dtype}) ${why}; ${rest}` };
}

async function missing(
  modelDir: string,
  dtype: Dtype | 'auto',
  variants: readonly ModelVariant[],
): Promise<OctavoError> {
  if (variants.length > 0) {
    const there = variants.map((v) => `${v.dtype} (${v.path})`).join(', ');
    const message = `${modelDir}: no ONNX model of --dtype ${dtype}; there are: ${there}`;
    return new OctavoError('model_file_missing', message);
  }
  const names = await readdir(join(modelDir, 'onnx')).catch(() => []);
  const encoder = [...names, ...(await readdir(modelDir).catch(() => []))].find((name) =>
    name.startsWith('encoder_model'),
  );
  if (encoder !== undefined) {
    return new OctavoError(
      'model_unsupported',
      `${modelDir}: it has an ${encoder}: models with an encoder are not supported, only decoders with a KV cache`,
    );
  }
  return new OctavoError(
    'model_file_missing',
    `${modelDir}: no ONNX model; looked for ${BASES.map((base) => `${base}.onnx`).join(', ')} and the same with ${Object.values(SUFFIXES).slice(1).join(', ')}`,
  );
}
