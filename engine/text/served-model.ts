import { basename, resolve } from 'node:path';
import { Type } from 'typebox';
import type { TokenId } from '../../scheduler/ids.js';
import { isGgufFile } from '../checkpoint/gguf-files.js';
import { ggufName } from '../checkpoint/gguf-names.js';
import type { ChatTemplate, TemplateSource } from './chat-template.js';
import { controlTokens } from './control-tokens.js';
import { type EmbeddingPrompts, isEmbedder, readEmbeddingPrompts } from './embedding-prompts.js';
import { readGenerationConfig, type SamplingDefaults } from './generation-config.js';
import { loadTokenizer } from './hf-tokenizer.js';
import { loadChatTemplate } from './load-chat-template.js';
import { readModelJson, SpecialTokenSchema, specialTokenText } from './model-files.js';
import type { PromptText } from './spans.js';
import type { Tokenizer } from './tokenizer.js';

/** Everything about a model but running it: names, text and defaults. */
export interface ServedModel {
  /** Names under which requests may address it; responses use the first. */
  readonly names: readonly [string, ...string[]];
  readonly tokenizer: Tokenizer;
  readonly chatTemplate: ChatTemplate | null;
  /** For templates that requests bring to a model that has none; absent: none. */
  readonly templateTokens?: TemplateSource['tokens'];
  /** Absent: none. */
  readonly embeddingPrompts?: EmbeddingPrompts;
  /** Whether it was made for vectors; absent for not known to be. */
  readonly isEmbedder?: boolean;
  /** Tokens that a client's text cannot produce in a chat; none with `--allow-special-tokens`. */
  readonly controlTokens: ReadonlySet<TokenId>;
  /** Tokens that end a text. */
  readonly eosTokenIds: readonly TokenId[];
  /** Sampling of requests that state nothing. */
  readonly defaultSampling: SamplingDefaults;
  /** Maximum output in tokens of requests that set no limit; null for the rest of the context. */
  readonly defaultMaxTokens: number | null;
}

const NamedTemplates = Type.Array(Type.Object({ name: Type.String(), template: Type.String() }));

const TokenizerConfigSchema = Type.Object({
  chat_template: Type.Optional(Type.Union([Type.String(), NamedTemplates, Type.Null()])),
  bos_token: Type.Optional(SpecialTokenSchema),
  eos_token: Type.Optional(SpecialTokenSchema),
});

export interface ServedModelOptions {
  /** `--chat-template`: a file, or the name of one of the model's own templates. */
  readonly chatTemplate?: string | null;
  /** `--allow-special-tokens` */
  readonly allowSpecialTokens?: boolean;
}

/**
 * Reads the text side of a model directory.
 *
 * @param names names of the model; empty for the directory's name
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`, `model_unsupported`: names the
 *   file; `usage` for a template that does not exist
 */
export async function loadServedModel(
  dir: string,
  names: readonly string[],
  options: ServedModelOptions = {},
): Promise<ServedModel> {
  const generation = await readGenerationConfig(dir);
  const tokenizer = await loadTokenizer(dir);
  const text = await readModelJson(dir, 'tokenizer_config.json', TokenizerConfigSchema, {
    required: true,
  });
  const bosToken = specialTokenText(text?.bos_token);
  const eosToken = specialTokenText(text?.eos_token);
  const eosOfTokenizer = eosToken === '' ? undefined : tokenizer.tokenId(eosToken);
  const ends = new Set(generation.eosTokenIds as TokenId[]);
  if (eosOfTokenizer !== undefined) ends.add(eosOfTokenizer);
  const [first = nameOf(dir), ...others] = names;
  const template = await loadChatTemplate(
    dir,
    text?.chat_template,
    { bosToken, eosToken },
    options.chatTemplate ?? null,
  );
  return {
    ...generation,
    names: [first, ...others],
    tokenizer,
    chatTemplate: template,
    templateTokens: { bosToken, eosToken },
    embeddingPrompts: await readEmbeddingPrompts(dir),
    isEmbedder: await isEmbedder(dir),
    controlTokens:
      options.allowSpecialTokens === true ? new Set() : controlTokens(tokenizer, template),
    eosTokenIds: [...ends],
  };
}

/** The special tokens that a template of this model may write. */
export const templateTokensOf = ({
  chatTemplate,
  templateTokens = { bosToken: '', eosToken: '' },
}: Pick<ServedModel, 'chatTemplate' | 'templateTokens'>): TemplateSource['tokens'] =>
  chatTemplate?.origin.tokens ?? templateTokens;

/** A model's name by its directory or its GGUF file. */
function nameOf(dir: string): string {
  return isGgufFile(dir) ? ggufName(dir) : basename(resolve(dir));
}

/**
 * The tokens of a prompt. The template has already written the special tokens, and the client's
 * text cannot produce any.
 *
 * @param options options of `Tokenizer.encode`
 */
export function encodePrompt(
  { text, client }: PromptText,
  { tokenizer, controlTokens: control }: Pick<ServedModel, 'tokenizer' | 'controlTokens'>,
  options: { readonly addSpecialTokens?: boolean } = {},
): TokenId[] {
  return tokenizer.encode(text, {
    addSpecialTokens: options.addSpecialTokens ?? false,
    guard: { client, control },
  });
}
