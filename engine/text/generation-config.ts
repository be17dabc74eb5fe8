import { type Static, type TNumberOptions, Type } from 'typebox';
import { OctavoError } from '../errors.js';
import { GREEDY, type SamplingParams } from '../sampling/sampling-params.js';
import { readModelJson } from './model-files.js';

/** Tokens that end a model's texts, and sampling defaults for requests that state nothing. */
export interface GenerationConfig {
  readonly eosTokenIds: readonly number[];
  readonly defaultSampling: SamplingDefaults;
  /** Maximum output in tokens of requests that set no limit; null for the rest of the context. */
  readonly defaultMaxTokens: number | null;
}

export type SamplingDefaults = Omit<SamplingParams, 'logitBias' | 'seed'>;

const NEUTRAL: SamplingDefaults = { ...GREEDY, temperature: 1 };

const EosSchema = Type.Optional(
  Type.Union([Type.Integer(), Type.Array(Type.Integer()), Type.Null()]),
);

const ConfigSchema = Type.Object({ eos_token_id: EosSchema });

const OptionalNumber = (options: TNumberOptions) =>
  Type.Optional(Type.Union([Type.Number(options), Type.Null()]));

const SamplingSchema = Type.Object({
  do_sample: Type.Optional(Type.Boolean()),
  temperature: OptionalNumber({ minimum: 0 }),
  top_k: OptionalNumber({ minimum: -1, multipleOf: 1 }),
  top_p: OptionalNumber({ exclusiveMinimum: 0, maximum: 1 }),
  min_p: OptionalNumber({ minimum: 0, maximum: 1 }),
  typical_p: OptionalNumber({ exclusiveMinimum: 0, maximum: 1 }),
  repetition_penalty: OptionalNumber({ exclusiveMinimum: 0 }),
});

const GenerationSchema = Type.Object({
  ...SamplingSchema.properties,
  eos_token_id: EosSchema,
  max_new_tokens: OptionalNumber({ minimum: 1, multipleOf: 1 }),
});

/** ONNX Runtime GenAI's own configuration file. */
const GenaiSchema = Type.Object({
  model: Type.Object({ eos_token_id: EosSchema }),
  search: Type.Optional(SamplingSchema),
});

/**
 * Reads `config.json` and `generation_config.json`, and `genai_config.json`, which ONNX Runtime
 * GenAI's model builder writes instead of both. The end tokens of all files are combined, because
 * some name only the end of a turn; sampling comes from the first file that states it.
 *
 * @throws OctavoError `model_file_missing` when there is neither config.json nor genai_config.json;
 *   `model_file_corrupt`
 */
export async function readGenerationConfig(dir: string): Promise<GenerationConfig> {
  const optional = { required: false };
  const config = await readModelJson(dir, 'config.json', ConfigSchema, optional);
  const generation = await readModelJson(dir, 'generation_config.json', GenerationSchema, optional);
  const genai = await readModelJson(dir, 'genai_config.json', GenaiSchema, optional);
  if (config === null && genai === null) {
    throw new OctavoError(
      'model_file_missing',
      `the model directory has no config.json, and no genai_config.json either: ${dir}`,
      { param: dir },
    );
  }
  const eos = [config?.eos_token_id, generation?.eos_token_id, genai?.model.eos_token_id].flat();
  return {
    eosTokenIds: [...new Set(eos.filter((id) => id !== undefined && id !== null))],
    defaultSampling: samplingDefaults(generation ?? genai?.search ?? {}),
    defaultMaxTokens: generation?.max_new_tokens ?? null,
  };
}

/** Files that do not enable sampling may still state temperatures, which then have no effect. */
function samplingDefaults(sampling: Static<typeof SamplingSchema>): SamplingDefaults {
  if (sampling.do_sample !== true) return NEUTRAL;
  return {
    ...NEUTRAL,
    temperature: sampling.temperature ?? NEUTRAL.temperature,
    topK: Math.max(0, sampling.top_k ?? NEUTRAL.topK),
    topP: sampling.top_p ?? NEUTRAL.topP,
    minP: sampling.min_p ?? NEUTRAL.minP,
    typicalP: sampling.typical_p ?? NEUTRAL.typicalP,
    repetitionPenalty: sampling.repetition_penalty ?? NEUTRAL.repetitionPenalty,
  };
}
