import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { Type } from 'typebox';
import { isGgufFile } from '../../engine/checkpoint/gguf-files.js';
import { modelKindOf } from '../../engine/encoder/model-kind.js';
import { contentFiles, modelFilesAt } from '../../engine/model/open-model.js';
import { loadChatTemplate } from '../../engine/text/load-chat-template.js';
import { readModelJson } from '../../engine/text/model-files.js';
import { readVisionModel } from '../../engine/vision/vision-model.js';
import type { ModelEntry } from '../pool/model-entry.js';

/** A model as Ollama lists it. */
export interface ModelDetails {
  readonly parent_model: '';
  /** `onnx`, `safetensors` or `gguf`. */
  readonly format: string;
  readonly family: string;
  readonly families: readonly string[];
  readonly parameter_size: '';
  readonly quantization_level: '';
}

/** What the files of a model say. */
export interface ModelFacts {
  readonly details: ModelDetails;
  /** Bytes of its weights. */
  readonly size: number;
  /** Another one when the files change. */
  readonly digest: string;
  readonly modifiedAt: string;
  /** By GGUF's names. */
  readonly info: Readonly<Record<string, string | number>>;
  readonly template: string;
  readonly contextLength: number | null;
  /** Whether it makes vectors or scores alone. */
  readonly isEncoder: boolean;
  readonly seesImages: boolean;
}

const Whole = Type.Optional(Type.Union([Type.Integer(), Type.Null()]));

const ConfigSchema = Type.Object({
  model_type: Type.Optional(Type.String()),
  max_position_embeddings: Whole,
  hidden_size: Whole,
  num_hidden_layers: Whole,
  num_attention_heads: Whole,
  num_key_value_heads: Whole,
  intermediate_size: Whole,
  vocab_size: Whole,
});

const TextSchema = Type.Object({
  chat_template: Type.Optional(Type.Unknown()),
});

/** GGUF's names of the same figures. */
const FIGURES = [
  ['context_length', 'max_position_embeddings'],
  ['embedding_length', 'hidden_size'],
  ['block_count', 'num_hidden_layers'],
  ['attention.head_count', 'num_attention_heads'],
  ['attention.head_count_kv', 'num_key_value_heads'],
  ['feed_forward_length', 'intermediate_size'],
  ['vocab_size', 'vocab_size'],
] as const;

/** Of a model whose files are not here, or not known: the hub's, before it is fetched. */
export const UNKNOWN: ModelFacts = {
  details: detailsOf('', ''),
  size: 0,
  digest: '',
  modifiedAt: new Date(0).toISOString(),
  info: {},
  template: '',
  contextLength: null,
  isEncoder: false,
  seesImages: false,
};

/** @throws OctavoError what is wrong with the files */
export async function factsOf(entry: ModelEntry): Promise<ModelFacts> {
  const { source, service } = entry;
  const found = (await source?.known()) ?? null;
  const template = service?.model.chatTemplate?.source;
  // Loaded, it is known; the settings may refuse what the files could do.
  const sees = service && service.prompts.images !== undefined;
  if (found === null) {
    const { contextLength } = entry;
    const isEncoder = service?.engine.info.encoder !== undefined;
    const digest = digestOf(entry.names);
    const seesImages = sees ?? false;
    return { ...UNKNOWN, template: template ?? '', contextLength, digest, isEncoder, seesImages };
  }
  const { dir: path, file } = found;
  const where = modelFilesAt(found, 'auto');
  const files = await contentFiles(where);
  const stats = await Promise.all(files.map((name) => stat(name)));
  const config = await readModelJson(path, 'config.json', ConfigSchema, { required: false });
  const family = config?.model_type ?? 'unknown';
  const figures = FIGURES.flatMap(([name, key]) => {
    const value = config?.[key];
    return typeof value === 'number' ? [[`${family}.${name}`, value] as const] : [];
  });
  const latest = Math.max(...stats.map(({ mtimeMs }) => mtimeMs));
  const format = isGgufFile(path) ? 'gguf' : extname(files[0]).slice(1);
  return {
    details: detailsOf(format, family),
    size: stats.reduce((sum, { size }) => sum + size, 0),
    digest: digestOf(stats.map(({ size, mtimeMs, ino }) => [size, mtimeMs, ino])),
    modifiedAt: new Date(latest).toISOString(),
    info: { 'general.architecture': family, ...Object.fromEntries(figures) },
    template: template ?? (await templateOf(path)),
    contextLength: entry.contextLength ?? config?.max_position_embeddings ?? null,
    isEncoder: (await modelKindOf(where)) === 'encoder',
    seesImages: sees ?? (await isSeeing(path, file)),
  };
}

async function isSeeing(path: string, file: string | undefined): Promise<boolean> {
  if (isGgufFile(path)) return false;
  const vision = await readVisionModel(path, 'auto', file);
  return vision !== null && typeof vision !== 'string';
}

async function templateOf(path: string): Promise<string> {
  const text = await readModelJson(path, 'tokenizer_config.json', TextSchema, { required: false });
  const tokens = { bosToken: '', eosToken: '' };
  const field = text?.chat_template as Parameters<typeof loadChatTemplate>[1];
  return (await loadChatTemplate(path, field, tokens, null))?.source ?? '';
}

function detailsOf(format: string, family: string): ModelDetails {
  return {
    parent_model: '',
    format,
    family,
    families: family === '' ? [] : [family],
    parameter_size: '',
    quantization_level: '',
  };
}

const digestOf = (value: unknown): string =>
  createHash('sha256').update(JSON.stringify(value)).digest('hex');

/** What clients ask before they offer tools, or show a switch for thinking. */
export function capabilitiesOf({ template, isEncoder, seesImages }: ModelFacts): string[] {
  if (isEncoder) return ['embedding'];
  return [
    'completion',
    ...(/\btools\b/.test(template) ? ['tools'] : []),
    ...(/enable_thinking|reasoning_effort|<think>/.test(template) ? ['thinking'] : []),
    ...(seesImages ? ['vision'] : []),
    'embedding',
  ];
}
