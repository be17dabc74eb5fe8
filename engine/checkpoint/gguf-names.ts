import { posix } from 'node:path';

/** Part n of m of a model whose weights lie in several files. */
const PART = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i;

/** The quantization in a file's name, as llama.cpp's tools and their users write it. */
const QUANTIZATION =
  /(?<=^|[-._])(?:UD-)?(?:I?Q\d(?:_[A-Z0-9]+)*|TQ\d_\d|MXFP4(?:_MOE)?|BF16|FP?16|FP?32)(?=[-._]|$)/gi;

/**
 * The order in which files of one model are preferred: what llama.cpp and Ollama take first, then
 * others of 4 bits, then more bits, then fewer. Names that are not here come last.
 */
const PREFERRED = (
  'Q4_K_M Q4_K_S Q4_0 Q4_1 IQ4_NL IQ4_XS MXFP4 MXFP4_MOE ' +
  'Q5_K_M Q5_K_S Q5_0 Q5_1 Q6_K Q8_0 F16 FP16 BF16 F32 FP32 ' +
  'Q3_K_L Q3_K_M Q3_K_S Q2_K'
).split(' ');

/** A model among GGUF files, which may have several parts. */
export interface GgufModel {
  /** Path of the file, or of its first part. */
  readonly file: string;
  /** In capitals, e.g. `Q4_K_M`; empty when the name has none. */
  readonly quantization: string;
  /** What comes before the quantization: files that differ in it are of different models. */
  readonly base: string;
}

/**
 * The models among files, the preferred one first. Files of a vision encoder (`mmproj-`) and of
 * importance matrices (`imatrix`) are none.
 */
export function ggufModelsAmong(files: Iterable<string>): GgufModel[] {
  const models = [...files]
    .filter((file) => /\.gguf$/i.test(file) && !/mmproj|imatrix/i.test(file))
    .filter((file) => Number(PART.exec(file)?.[2] ?? 1) === 1)
    .toSorted()
    .map(modelOf);
  const rank = ({ quantization }: GgufModel): number => {
    const at = PREFERRED.indexOf(quantization);
    return at < 0 ? PREFERRED.length : at;
  };
  return models.toSorted((a, b) => rank(a) - rank(b));
}

/**
 * The preferred file of those of one model.
 *
 * @param models as `ggufModelsAmong` returns them
 * @returns null when they are of several models
 */
export function oneModel(models: readonly GgufModel[]): GgufModel | null {
  const [first] = models;
  return first && models.every(({ base }) => base === first.base) ? first : null;
}

function modelOf(file: string): GgufModel {
  const name = ggufName(file);
  const found = [...name.matchAll(QUANTIZATION)].at(-1);
  const base = found ? name.slice(0, found.index) : name;
  return {
    file,
    quantization: (found?.[0] ?? '').toUpperCase(),
    base: base.replace(/[-._]+$/, '').toLowerCase(),
  };
}

/** A model's name by its file: without ending and number of the part. */
export function ggufName(file: string): string {
  const name = posix.basename(file.replaceAll('\\', '/'));
  return PART.exec(name)?.[1] ?? name.replace(/\.gguf$/i, '');
}

/** A part of a model in several files. */
export interface GgufPart {
  readonly number: number;
  /** Paths of all parts, in order. */
  readonly all: readonly string[];
}

/** @returns null for a model in one file */
export function ggufPart(file: string): GgufPart | null {
  const [, name, number, total] = PART.exec(file) ?? [];
  if (total === undefined) return null;
  const all = Array.from(
    { length: Number(total) },
    (_, i) => `${name}-${String(i + 1).padStart(5, '0')}-of-${total}.gguf`,
  );
  return { number: Number(number), all };
}
