import { readCheckpoint } from '../../checkpoint/safetensors-files.js';
import { clip } from '../../clip.js';
import { checkedWeights } from '../check-weights.js';
import { type Config, readConfig } from '../config.js';
import type { Decoder } from '../decoder.js';
import { describe } from '../describe-model.js';
import { linear, rmsNorm } from '../families/parts.js';
import {
  attentionOnly,
  type DescribedDraftLayers,
  type DraftLayers,
  renamed,
} from './draft-layers.js';

/** Whose heads are read, by the `model_type` of the text model. */
const FAMILIES = ['qwen3_5_text', 'qwen3_5_moe_text', 'qwen3_next'];
const PREFIX = 'mtp.';

/**
 * Describes the head for multi-token prediction of a checkpoint that has one (Gloeckle et al. 2024;
 * DeepSeek-V3, section 2.2): a layer as the family's attention layers are, behind norms of the
 * embedding and of the hidden row, and a norm of its own before the model's head. It was trained
 * for the token after the next, and drafts further ones from its own rows.
 *
 * @param entry the checkpoint's file in the model's directory (`findSafetensors`)
 * @throws OctavoError `model_unsupported` for another family, and for a checkpoint without a head;
 *   `model_file_missing`, `model_file_corrupt`
 */
export async function describeMtp(dir: string, entry: string): Promise<DescribedDraftLayers> {
  const config = await readConfig(dir);
  const text = config.inner('text_config') ?? config;
  const type = text.text('model_type', '');
  if (!FAMILIES.includes(type)) {
    throw text.unsupported(
      `the model_type ${JSON.stringify(clip(type))} has no prediction heads that are read ("mtp"); those of ${FAMILIES.join(', ')} are`,
    );
  }
  const whole = await readCheckpoint(dir, entry);
  const own = [...whole.tensors].filter(([name]) => name.startsWith(PREFIX));
  if (own.length === 0) {
    throw text.unsupported(
      `has no weights ${PREFIX}*: the checkpoint was saved without its prediction head, and "mtp" needs it`,
    );
  }
  const layers = layersOf(text, describe(oneLayerOf(text)));
  const stored = { ...whole, tensors: new Map(own) };
  const checkpoint = checkedWeights(config, layers, stored);
  return { layers, checkpoint };
}

/** A model with one layer, which is as that of the head. */
const oneLayerOf = (text: Config): Config =>
  text.with({ num_hidden_layers: 1, layer_types: ['full_attention'], mlp_only_layers: [] });

function layersOf(text: Config, { layers: [layer], hiddenSize, vocabSize }: Decoder): DraftLayers {
  const epsilon = text.number('rms_norm_eps', 1e-6);
  const norm = (name: string) => rmsNorm(`${PREFIX}${name}`, hiddenSize, epsilon, 1);
  return {
    family: 'its own prediction head',
    hiddenSize,
    vocabSize,
    stages: [
      {
        embeddingNorm: norm('pre_fc_norm_embedding'),
        hiddenNorm: norm('pre_fc_norm_hidden'),
        fuse: linear(`${PREFIX}fc`, hiddenSize, 2 * hiddenSize),
        layer: renamed(attentionOnly(text, layer), (name) => name.replace(/^model\./, PREFIX)),
        outputNorm: norm('norm'),
      },
    ],
    unread: [],
  };
}
