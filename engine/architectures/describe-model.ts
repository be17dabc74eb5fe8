import { readCheckpoint } from '../checkpoint/safetensors-files.js';
import type { Checkpoint } from '../checkpoint/stored-tensor.js';
import { clip } from '../clip.js';
import { EXPORT_ADVICE } from '../importer/advice.js';
import { checkedWeights } from './check-weights.js';
import { type Config, readConfig } from './config.js';
import type { Decoder } from './decoder.js';
import { FAMILIES, type Family } from './families/index.js';
import { packingOf } from './packing.js';
import { textPart } from './text-part.js';

/** A model whose graph is built: its description, and the weights that it names, checked. */
export interface DescribedModel {
  readonly decoder: Decoder;
  readonly checkpoint: Checkpoint;
  readonly origin: Origin;
  /** In what order rows are stored, other than transformers'; absent: in none. */
  readonly order?: StoredOrder;
}

/** How a GGUF file stores rows of queries, keys and values. */
export interface StoredOrder {
  /** Those of `q_proj` and `k_proj` are sorted for a rotation of neighbors. */
  readonly sortsHeads: boolean;
  /** Of packed queries, keys and values, all queries come first, where a head's three did. */
  readonly joinsHeads: boolean;
}

/** For reports: the tool that wrote the graph, and why it was chosen. */
export type Origin = Readonly<Record<'exporter' | 'variant', string>>;

const FROM_SAFETENSORS: Origin = {
  exporter: 'none: built from config.json',
  variant: 'no ONNX model is there: built from config.json and safetensors',
};

/**
 * Describes a model by its config.json, and finds the weights in its checkpoint.
 *
 * @param entry the checkpoint's file in the directory (`findSafetensors`)
 * @throws OctavoError `model_unsupported` for an architecture that is not known;
 *   `model_file_missing`, `model_file_corrupt`
 */
export async function describeModel(dir: string, entry: string): Promise<DescribedModel> {
  const config = await readConfig(dir);
  const decoder = describe(config);
  const stored = textPart(config, await readCheckpoint(dir, entry));
  const checkpoint = checkedWeights(config, decoder, stored);
  return { decoder, checkpoint, origin: FROM_SAFETENSORS };
}

/**
 * The description of a model by its configuration alone.
 *
 * @throws OctavoError `model_unsupported`, `model_file_corrupt`
 */
export function describe(config: Config): Decoder {
  packingOf(config);
  const text = config.inner('text_config');
  const own = text ? text.with({ tie_word_embeddings: tiedBy(config, text) }) : config;
  return familyOf(config, own)(own);
}

/** Where a model of text and images says it, the outer configuration does. */
function tiedBy(config: Config, text: Config): unknown {
  return config.values['tie_word_embeddings'] ?? text.values['tie_word_embeddings'];
}

function familyOf(config: Config, own: Config): Family {
  const type = own.text('model_type', '');
  const family = FAMILIES.get(type);
  if (family) return family;
  const name = type === '' ? 'no model_type' : `the model_type ${JSON.stringify(clip(type))}`;
  throw config.unsupported(
    `has ${name}, whose architecture is not known. Built from config.json are ${[...FAMILIES.keys()].join(', ')}; ` +
      `another model may be served as ONNX: export it with ${EXPORT_ADVICE}`,
  );
}
