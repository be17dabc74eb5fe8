import { findSafetensors, readCheckpoint } from '../../checkpoint/safetensors-files.js';
import type { StoredTensor } from '../../checkpoint/stored-tensor.js';
import { OctavoError } from '../../errors.js';
import { checkedWeights } from '../check-weights.js';
import { type Config, readConfig } from '../config.js';
import type { Decoder } from '../decoder.js';
import { describe } from '../describe-model.js';
import { linear } from '../families/parts.js';
import {
  attentionOnly,
  type DescribedDraftLayers,
  type DraftLayer,
  type DraftLayers,
  renamed,
} from './draft-layers.js';

/** Weights of EAGLE-3 (Li et al. 2025), which reads the rows of three layers. */
const OF_EAGLE_3 = /^(?:d2t$|t2d$|midlayer\.)/;
/** The target's own, which some checkpoints repeat. */
const EMBEDDING = 'embed_tokens.weight';

/**
 * Describes a checkpoint of EAGLE (Li et al. 2024), as the hub has them: a configuration of one
 * layer, `fc`, and `layers.0` with the names of its family, mostly without `input_layernorm`. With
 * `num_position_specialists` it has a layer for each place of a draft (Huang et al. 2025, POSS):
 * the first one under these names, number i from 2 on behind `specialists.{i}.`.
 *
 * @throws OctavoError `model_file_missing`, `model_file_corrupt`, `model_unsupported`
 */
export async function describeEagle(dir: string): Promise<DescribedDraftLayers> {
  const config = await readConfig(dir);
  const entry = await findSafetensors(dir);
  if (entry === null) {
    throw new OctavoError(
      'model_file_missing',
      `${dir}: has no safetensors, from which layers that draft are read; convert a pytorch_model.bin with safetensors.torch.save_file`,
    );
  }
  const stored = await readCheckpoint(dir, entry);
  if ([...stored.tensors.keys()].some((name) => OF_EAGLE_3.test(name))) {
    throw config.unsupported(
      'is an EAGLE-3 checkpoint (d2t, midlayer), which reads hidden rows of three layers; EAGLE checkpoints with fc and layers.0 are served',
    );
  }
  const layers = layersOf(config, stored.tensors);
  const checkpoint = checkedWeights(config, layers, stored);
  checkEmbedding(config, layers, stored.tensors.get(EMBEDDING));
  return { layers, checkpoint };
}

function layersOf(config: Config, tensors: ReadonlyMap<string, StoredTensor>): DraftLayers {
  if (config.count('num_hidden_layers') !== 1) {
    throw config.wrong('num_hidden_layers', '1, as EAGLE has it');
  }
  const decoder = describe(config);
  const count = config.count('num_position_specialists', 1);
  const [first, ...others] = Array.from({ length: count }, (_, index) => {
    const prefix = index === 0 ? '' : `specialists.${index + 1}.`;
    return stageOf(config, decoder, prefix, tensors);
  });
  return {
    family: count > 1 ? 'eagle with specialists' : 'eagle',
    hiddenSize: decoder.hiddenSize,
    vocabSize: decoder.vocabSize,
    stages: [first, ...others],
    unread: [/^embed_tokens\.weight$/, /\.rotary_emb\.inv_freq$/],
  };
}

function stageOf(
  config: Config,
  { layers, hiddenSize }: Decoder,
  prefix: string,
  tensors: ReadonlyMap<string, StoredTensor>,
): DraftLayer {
  const named = renamed(attentionOnly(config, layers[0]), (name) =>
    name.replace(/^model\./, prefix),
  );
  const { before, after } = named.mixerNorms;
  const isNormed = tensors.has(before?.weight?.name ?? '');
  const fc = `${prefix}fc`;
  return {
    embeddingNorm: null,
    hiddenNorm: null,
    fuse: linear(fc, hiddenSize, 2 * hiddenSize, tensors.has(`${fc}.bias`)),
    layer: { ...named, mixerNorms: { before: isNormed ? before : null, after } },
    outputNorm: null,
  };
}

/** @throws OctavoError `model_file_corrupt` for one that cannot be the target's */
function checkEmbedding(
  { file }: Config,
  { vocabSize, hiddenSize }: DraftLayers,
  embedding: StoredTensor | undefined,
): void {
  if (!embedding || embedding.shape.join() === [vocabSize, hiddenSize].join()) return;
  throw new OctavoError(
    'model_file_corrupt',
    `${file}: ${EMBEDDING} has the shape [${embedding.shape.join(', ')}]; vocab_size and hidden_size make it [${vocabSize}, ${hiddenSize}]`,
  );
}
