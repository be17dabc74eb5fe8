import { basename, join, resolve } from 'node:path';
import { type Static, type TNumberOptions, Type } from 'typebox';
import { OctavoError } from '../../engine/errors.js';
import { GREEDY, type SamplingParams } from '../../engine/sampling/sampling-params.js';
import type { TokenId } from '../../scheduler/ids.js';
import { ChatTemplate } from './chat-template.js';
import { loadTokenizer } from './hf-tokenizer.js';
import {
  readModelJson,
  readModelText,
  SpecialTokenSchema,
  specialTokenText,
} from './model-files.js';
import type { Tokenizer } from './tokenizer.js';

/** All that the server knows of a model besides running it: names, text and defaults. */
export interface ServedModel {
  /** The names it answers to; the first is the one in responses. */
  readonly names: readonly [string, ...string[]];
  readonly tokenizer: Tokenizer;
  readonly chatTemplate: ChatTemplate | null;
  /** Tokens that end a text. */
  readonly eosTokenIds: readonly TokenId[];
  /** How requests are sampled that say nothing. */
  readonly defaultSampling: SamplingDefaults;
  /** Longest output of requests that set no limit; null: what is left of the context. */
  readonly defaultMaxTokens: number | null;
}

export type SamplingDefaults = Omit<SamplingParams, 'logitBias' | 'seed'>;

const NEUTRAL: SamplingDefaults = { ...GREEDY, temperature: 1 };

const EosSchema = Type.Optional(
  Type.Union([Type.Integer(), Type.Array(Type.Integer()), Type.Null()]),
);

const ConfigSchema = Type.Object({
  max_position_embeddings: Type.Optional(Type.Integer({ minimum: 1 })),
  vocab_size: Type.Optional(Type.Integer({ minimum: 1 })),
  eos_token_id: EosSchema,
});

const OptionalNumber = (options: TNumberOptions) =>
  Type.Optional(Type.Union([Type.Number(options), Type.Null()]));

const GenerationSchema = Type.Object({
  eos_token_id: EosSchema,
  do_sample: Type.Optional(Type.Boolean()),
  temperature: OptionalNumber({ minimum: 0 }),
  top_k: OptionalNumber({ minimum: -1, multipleOf: 1 }),
  top_p: OptionalNumber({ exclusiveMinimum: 0, maximum: 1 }),
  min_p: OptionalNumber({ minimum: 0, maximum: 1 }),
  typical_p: OptionalNumber({ exclusiveMinimum: 0, maximum: 1 }),
  repetition_penalty: OptionalNumber({ exclusiveMinimum: 0 }),
  max_new_tokens: OptionalNumber({ minimum: 1, multipleOf: 1 }),
});

const NamedTemplates = Type.Array(Type.Object({ name: Type.String(), template: Type.String() }));

const TokenizerConfigSchema = Type.Object({
  chat_template: Type.Optional(Type.Union([Type.String(), NamedTemplates, Type.Null()])),
  bos_token: Type.Optional(SpecialTokenSchema),
  eos_token: Type.Optional(SpecialTokenSchema),
});

/**
 * Reads the text side of a model directory.
 *
 * @param names what the model is called; empty for the directory's own name
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`, naming the file
 */
export async function loadServedModel(dir: string, names: readonly string[]): Promise<ServedModel> {
  const config = await readModelJson(dir, 'config.json', ConfigSchema, { required: true });
  const tokenizer = await loadTokenizer(dir);
  const generation = await readModelJson(dir, 'generation_config.json', GenerationSchema, {
    required: false,
  });
  const text = await readModelJson(dir, 'tokenizer_config.json', TokenizerConfigSchema, {
    required: true,
  });
  const eosToken = specialTokenText(text?.eos_token);
  const eosOfTokenizer = eosToken === '' ? undefined : tokenizer.tokenId(eosToken);
  const eos = [config?.eos_token_id, generation?.eos_token_id, eosOfTokenizer].flat();
  const eosTokenIds = [...new Set(eos.filter((id) => id !== undefined && id !== null))];
  const [first = basename(resolve(dir)), ...others] = names;
  return {
    names: [first, ...others],
    tokenizer,
    chatTemplate: await loadChatTemplate(dir, text?.chat_template, {
      bosToken: specialTokenText(text?.bos_token),
      eosToken,
    }),
    eosTokenIds: eosTokenIds as TokenId[],
    defaultSampling: samplingDefaults(generation ?? {}),
    defaultMaxTokens: generation?.max_new_tokens ?? null,
  };
}

/** Files that do not turn sampling on may still name temperatures, which mean nothing then. */
function samplingDefaults(generation: Static<typeof GenerationSchema>): SamplingDefaults {
  if (generation.do_sample !== true) return NEUTRAL;
  return {
    ...NEUTRAL,
    temperature: generation.temperature ?? NEUTRAL.temperature,
    topK: Math.max(0, generation.top_k ?? NEUTRAL.topK),
    topP: generation.top_p ?? NEUTRAL.topP,
    minP: generation.min_p ?? NEUTRAL.minP,
    typicalP: generation.typical_p ?? NEUTRAL.typicalP,
    repetitionPenalty: generation.repetition_penalty ?? NEUTRAL.repetitionPenalty,
  };
}

/** `chat_template.jinja` is the newer place and wins; of several named templates, `default` is taken, and `tool_use` with tools. */
async function loadChatTemplate(
  dir: string,
  inConfig: string | { name: string; template: string }[] | null | undefined,
  tokens: { bosToken: string; eosToken: string },
): Promise<ChatTemplate | null> {
  const file = await readModelText(dir, 'chat_template.jinja', { required: false });
  if (file !== null) return new ChatTemplate(file, join(dir, 'chat_template.jinja'), tokens);
  if (inConfig === null || inConfig === undefined) return null;
  const path = join(dir, 'tokenizer_config.json');
  if (typeof inConfig === 'string') return new ChatTemplate(inConfig, path, tokens);
  const named = inConfig.find(({ name }) => name === 'default');
  if (!named) {
    throw new OctavoError('model_file_corrupt', `${path} has no chat template named default`, {
      param: path,
    });
  }
  const forTools = inConfig.find(({ name }) => name === 'tool_use');
  return new ChatTemplate(named.template, path, tokens, forTools?.template);
}
