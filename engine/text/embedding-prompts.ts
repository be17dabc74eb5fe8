import { Type } from 'typebox';
import { readModelJson } from './model-files.js';

const PromptsSchema = Type.Object({
  prompts: Type.Optional(
    Type.Union([Type.Record(Type.String(), Type.Union([Type.String(), Type.Null()])), Type.Null()]),
  ),
  default_prompt_name: Type.Optional(Type.Union([Type.String(), Type.Null()])),
});

const ModulesSchema = Type.Array(Type.Object({ type: Type.String() }));

/** Whether a model was made for vectors: sentence-transformers' modules.json pools its rows. */
export async function isEmbedder(dir: string): Promise<boolean> {
  const modules = await readModelJson(dir, 'modules.json', ModulesSchema, { required: false });
  return modules?.some(({ type }) => type.endsWith('.Pooling')) ?? false;
}

/** Texts that a model wants before what it embeds. */
export interface EmbeddingPrompts {
  readonly byName: ReadonlyMap<string, string>;
  /** Of texts for which nothing is asked; '' for none. */
  readonly standard: string;
}

/**
 * Reads the prompts of sentence-transformers' config_sentence_transformers.json; none where there
 * is no such file.
 *
 * @throws OctavoError `model_file_corrupt`
 */
export async function readEmbeddingPrompts(dir: string): Promise<EmbeddingPrompts> {
  const file = 'config_sentence_transformers.json';
  const config = await readModelJson(dir, file, PromptsSchema, { required: false });
  const stated = Object.entries(config?.prompts ?? {});
  const byName = new Map(stated.map(([name, text]) => [name, text ?? '']));
  return { byName, standard: byName.get(config?.default_prompt_name ?? '') ?? '' };
}

/** What a text is for, by the names that clients have for it. */
export const INPUT_TYPES = [
  'query',
  'document',
  'passage',
  'search_query',
  'search_document',
  'classification',
  'clustering',
] as const;

export type InputType = (typeof INPUT_TYPES)[number];

/** Names of prompts for it, the first that a model has is taken, as sentence-transformers does. */
const NAMES: Readonly<Record<InputType, readonly string[]>> = {
  query: ['query', 'search_query'],
  search_query: ['query', 'search_query'],
  document: ['document', 'passage', 'corpus', 'search_document'],
  passage: ['document', 'passage', 'corpus', 'search_document'],
  search_document: ['document', 'passage', 'corpus', 'search_document'],
  classification: ['classification', 'Classification'],
  clustering: ['clustering', 'Clustering'],
};

/** The prompt for what a text is for; the standard one for a model that has none for it. */
export function promptFor(type: InputType, { byName, standard }: EmbeddingPrompts): string {
  const name = NAMES[type].find((candidate) => byName.has(candidate));
  return name === undefined ? standard : (byName.get(name) ?? '');
}
