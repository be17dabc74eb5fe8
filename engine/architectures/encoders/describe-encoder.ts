import { isGgufFile } from '../../checkpoint/gguf-files.js';
import { readCheckpoint } from '../../checkpoint/safetensors-files.js';
import type { Checkpoint } from '../../checkpoint/stored-tensor.js';
import { checkWeights } from '../check-weights.js';
import { type Config, readConfig } from '../config.js';
import { bert, roberta } from './bert.js';
import type { EncoderModel } from './encoder.js';
import { gemmaEncoder } from './gemma.js';
import { modernBert } from './modernbert.js';
import { nomicBert } from './nomic.js';

/** By `model_type`. */
const FAMILIES: ReadonlyMap<string, (config: Config) => EncoderModel> = new Map([
  ['bert', bert],
  ['roberta', roberta],
  ['xlm-roberta', roberta],
  ['modernbert', modernBert],
  ['nomic_bert', nomicBert],
  ['gemma3_text', gemmaEncoder],
]);

/** What stands before names of weights where the encoder is a part of another model. */
const PREFIX = /^(?:bert|roberta|nomic_bert|model)\./;

/** An encoder whose graph is built: its description, and the weights that it names, checked. */
export interface DescribedEncoder {
  readonly encoder: EncoderModel;
  readonly checkpoint: Checkpoint;
}

/** Whether a checkpoint's configuration is that of an encoder; none of a GGUF file is. */
export async function isEncoderCheckpoint(modelDir: string): Promise<boolean> {
  if (isGgufFile(modelDir)) return false;
  const config = await readConfig(modelDir);
  const type = config.text('model_type', '');
  // Of Gemma 3, only one with attention to both sides.
  if (type === 'gemma3_text') return config.flag('use_bidirectional_attention', false);
  return FAMILIES.has(type);
}

/**
 * Describes an encoder by its config.json, and finds the weights in its checkpoint.
 *
 * @param entry the checkpoint's file in the directory (`findSafetensors`)
 * @throws OctavoError `model_unsupported`, `model_file_missing`, `model_file_corrupt`
 */
export async function describeEncoder(dir: string, entry: string): Promise<DescribedEncoder> {
  const config = await readConfig(dir);
  const family = FAMILIES.get(config.text('model_type', ''));
  if (!family) throw config.unsupported('is no encoder that is built from config.json');
  const encoder = family(config);
  const stored = await readCheckpoint(dir, entry);
  const named = [...stored.tensors].map(
    ([name, tensor]) => [name.replace(PREFIX, ''), tensor] as const,
  );
  const checkpoint = { ...stored, tensors: new Map(named) };
  checkWeights(encoder, checkpoint);
  return { encoder, checkpoint };
}
