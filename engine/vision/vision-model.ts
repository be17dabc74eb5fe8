import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import { OctavoError } from '../errors.js';
import { findParts } from '../importer/parts/find-parts.js';
import { chooseVariant, type Dtype, listVariants } from '../importer/variants.js';
import type { CropSettings, Gemma3Settings } from './processors/gemma3.js';
import type { Idefics3Settings } from './processors/idefics3.js';
import type { QwenVlSettings } from './processors/qwen-vl.js';
import { FILTERS } from './resample.js';

export type VisionSettings = Gemma3Settings | Idefics3Settings | QwenVlSettings;

/** How a model reads pictures: plain data. */
export interface VisionModel {
  /** Path of the encoder's ONNX file. */
  readonly file: string;
  readonly settings: VisionSettings;
  /** Id of the token that stands for one row. */
  readonly imageToken: number;
  /**
   * Ids of tokens around the rows of a picture; the chat template writes the first of them for a
   * picture. Null where it writes the image token.
   */
  readonly borders: { readonly begin: number; readonly end: number } | null;
  /** Rows of each piece of a picture; null where the picture's size decides. */
  readonly rowsPerPiece: number | null;
  /** Whether the tokens of a piece attend to each other in both directions. */
  readonly isBidirectional: boolean;
}

const Integer = Type.Integer({ minimum: 1 });
const PreprocessorSchema = Type.Object({
  image_processor_type: Type.Optional(Type.String()),
  resample: Type.Optional(Type.Integer()),
  rescale_factor: Type.Optional(Type.Number()),
  image_mean: Type.Optional(Type.Array(Type.Number(), { minItems: 3, maxItems: 3 })),
  image_std: Type.Optional(Type.Array(Type.Number(), { minItems: 3, maxItems: 3 })),
  do_image_splitting: Type.Optional(Type.Boolean()),
  patch_size: Type.Optional(Integer),
  merge_size: Type.Optional(Integer),
  temporal_patch_size: Type.Optional(Integer),
  min_pixels: Type.Optional(Type.Union([Integer, Type.Null()])),
  max_pixels: Type.Optional(Type.Union([Integer, Type.Null()])),
  max_image_size: Type.Optional(Type.Object({ longest_edge: Integer })),
  do_pan_and_scan: Type.Optional(Type.Union([Type.Boolean(), Type.Null()])),
  pan_and_scan_min_crop_size: Type.Optional(Type.Union([Integer, Type.Null()])),
  pan_and_scan_max_num_crops: Type.Optional(Type.Union([Integer, Type.Null()])),
  pan_and_scan_min_ratio_to_activate: Type.Optional(Type.Union([Type.Number(), Type.Null()])),
  size: Type.Optional(Type.Record(Type.String(), Type.Union([Type.Integer(), Type.Null()]))),
});

const ConfigSchema = Type.Object({
  image_token_id: Type.Optional(Type.Integer()),
  image_token_index: Type.Optional(Type.Integer()),
  boi_token_index: Type.Optional(Type.Integer()),
  eoi_token_index: Type.Optional(Type.Integer()),
  mm_tokens_per_image: Type.Optional(Integer),
  scale_factor: Type.Optional(Integer),
  vision_config: Type.Optional(
    Type.Object({ image_size: Type.Optional(Integer), patch_size: Type.Optional(Integer) }),
  ),
});

type Preprocessor = Type.Static<typeof PreprocessorSchema>;
type Config = Type.Static<typeof ConfigSchema>;

/** CLIP's numbers, which Qwen-VL's processors have where their file states none. */
const CLIP = {
  mean: [0.48145466, 0.4578275, 0.40821073],
  std: [0.26862954, 0.26130258, 0.27577711],
};
/** Most models have neither. */
const PLAIN = { borders: null, isBidirectional: false } as const;
const HALF = { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] };

/**
 * Reads how a model of text and images makes rows of pictures.
 *
 * @returns null for a model without a vision encoder, and a reason in words where there is one that
 *   is not known
 * @throws OctavoError `model_file_corrupt` for a configuration that cannot be read
 */
export async function readVisionModel(
  modelDir: string,
  dtype: Dtype | 'auto',
  decoder?: string,
): Promise<VisionModel | string | null> {
  if ((await listVariants(modelDir)).length === 0) return null;
  const path = decoder ?? (await chooseVariant(modelDir, dtype)).path;
  const { embedding, vision } = await findParts(modelDir, path);
  if (embedding === null || vision === null) return null;
  const file = join(modelDir, vision);
  const config = await readJson(join(modelDir, 'config.json'), ConfigSchema);
  const preprocessor = await readPreprocessor(modelDir);
  if (!config || !preprocessor) {
    return `${vision} needs config.json and preprocessor_config.json beside it`;
  }
  const name = (preprocessor.image_processor_type ?? '').replace(/ImageProcessor(Fast|Pil)?$/, '');
  const image = config.image_token_id ?? config.image_token_index;
  if (image === undefined) return 'config.json names no image_token_id';
  switch (name) {
    case 'Idefics3':
    case 'SmolVLM':
      return {
        file,
        settings: idefics3Settings(preprocessor),
        imageToken: image,
        rowsPerPiece: await idefics3Rows(modelDir, config),
        ...PLAIN,
      };
    case 'Qwen2VL':
    case 'Qwen3VL':
      return {
        file,
        settings: qwenVlSettings(preprocessor),
        imageToken: image,
        rowsPerPiece: null,
        ...PLAIN,
      };
    case 'Gemma3':
      return {
        file,
        settings: gemma3Settings(preprocessor),
        imageToken: image,
        // What transformers' Gemma3Config has where the file states nothing.
        borders: {
          begin: config.boi_token_index ?? 255_999,
          end: config.eoi_token_index ?? 256_000,
        },
        rowsPerPiece: config.mm_tokens_per_image ?? 256,
        isBidirectional: true,
      };
    default:
      return `its image processor is ${name || 'not stated'}; known are Gemma3, Idefics3, SmolVLM, Qwen2VL and Qwen3VL`;
  }
}

function common(
  { resample, rescale_factor: scale, image_mean: mean, image_std: std }: Preprocessor,
  byDefault: { readonly mean: number[]; readonly std: number[]; readonly resample: number },
) {
  const filter = resample ?? byDefault.resample;
  if (!FILTERS[filter]) {
    const known = Object.keys(FILTERS).join(', ');
    throw corrupt(`resample is ${filter}; known are ${known} (Lanczos, bilinear, bicubic)`);
  }
  return {
    resample: filter,
    scale: scale ?? 1 / 255,
    mean: mean ?? byDefault.mean,
    std: std ?? byDefault.std,
  };
}

function idefics3Settings(preprocessor: Preprocessor): Idefics3Settings {
  const { size, max_image_size: tile, do_image_splitting: splits = true } = preprocessor;
  const longestEdge = size?.['longest_edge'];
  if (!longestEdge) throw corrupt('size must have longest_edge');
  return {
    kind: 'idefics3',
    ...common(preprocessor, { ...HALF, resample: 1 }),
    longestEdge,
    tileEdge: tile?.longest_edge ?? 364,
    splits,
  };
}

function gemma3Settings(preprocessor: Preprocessor): Gemma3Settings {
  const { size } = preprocessor;
  return {
    kind: 'gemma3',
    ...common(preprocessor, { ...HALF, resample: 2 }),
    height: size?.['height'] ?? 224,
    width: size?.['width'] ?? 224,
    crops: preprocessor.do_pan_and_scan === true ? cropSettings(preprocessor) : null,
  };
}

/** The processor's numbers where the file says nothing. */
function cropSettings(preprocessor: Preprocessor): CropSettings {
  return {
    minSize: preprocessor.pan_and_scan_min_crop_size ?? 256,
    most: preprocessor.pan_and_scan_max_num_crops ?? 4,
    minRatio: preprocessor.pan_and_scan_min_ratio_to_activate ?? 1.2,
  };
}

/** The processor's number, else what patches and their merging give. */
async function idefics3Rows(modelDir: string, config: Config): Promise<number> {
  const Processor = Type.Object({ image_seq_len: Type.Optional(Integer) });
  const stated = await readJson(join(modelDir, 'processor_config.json'), Processor);
  if (stated?.image_seq_len !== undefined) return stated.image_seq_len;
  const { image_size: size = 224, patch_size: patch = 32 } = config.vision_config ?? {};
  return Math.trunc(Math.trunc(size / patch) ** 2 / (config.scale_factor ?? 2) ** 2);
}

function qwenVlSettings(preprocessor: Preprocessor): QwenVlSettings {
  const { size, patch_size: patchSize = 14, merge_size: mergeSize = 2 } = preprocessor;
  const { min_pixels: least, max_pixels: most } = preprocessor;
  return {
    kind: 'qwen-vl',
    ...common(preprocessor, { ...CLIP, resample: 3 }),
    patchSize,
    mergeSize,
    temporalPatchSize: preprocessor.temporal_patch_size ?? 2,
    minPixels: least ?? size?.['shortest_edge'] ?? 56 * 56,
    maxPixels: most ?? size?.['longest_edge'] ?? 28 * 28 * 1280,
  };
}

/** transformers 5 puts it into processor_config.json. */
async function readPreprocessor(modelDir: string): Promise<Preprocessor | null> {
  const own = await readJson(join(modelDir, 'preprocessor_config.json'), PreprocessorSchema);
  if (own) return own;
  const Processor = Type.Object({ image_processor: Type.Optional(PreprocessorSchema) });
  const all = await readJson(join(modelDir, 'processor_config.json'), Processor);
  return all?.image_processor ?? null;
}

async function readJson<Schema extends Type.TSchema>(
  file: string,
  schema: Schema,
): Promise<Type.Static<Schema> | null> {
  const text = await readFile(file, 'utf8').catch(() => null);
  if (text === null) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new OctavoError('model_file_corrupt', `${file}: is not JSON`, { cause });
  }
  if (Check(schema, value)) return value;
  throw new OctavoError('model_file_corrupt', `${file}: a field has another type than expected`);
}

function corrupt(what: string): OctavoError {
  return new OctavoError('model_file_corrupt', `preprocessor_config.json: ${what}`);
}
