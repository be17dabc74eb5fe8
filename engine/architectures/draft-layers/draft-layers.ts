import type { Checkpoint } from '../../checkpoint/stored-tensor.js';
import type { Config } from '../config.js';
import type { DecoderLayer, Linear, Norm, Weight } from '../decoder.js';

/**
 * Layers that draft behind a model, as data. Row t of a text is made of the model's hidden row t,
 * the input of its LM head, and of the embedding of token t + 1; what comes out stands for hidden
 * row t + 1, from which the model's head chooses token t + 2 (Li et al. 2024, EAGLE).
 */
export interface DraftLayers {
  /** As messages name it, e.g. `eagle`. */
  readonly family: string;
  readonly hiddenSize: number;
  readonly vocabSize: number;
  /**
   * One for each place of a draft, the last for all behind it (Huang et al. 2025, POSS, section 3).
   * All have keys and values of the same sizes.
   */
  readonly stages: readonly [DraftLayer, ...DraftLayer[]];
  /** Weights that a checkpoint may have and the computation does not need. */
  readonly unread: readonly RegExp[];
}

/** Layers that draft, with their weights, checked. */
export interface DescribedDraftLayers {
  readonly layers: DraftLayers;
  readonly checkpoint: Checkpoint;
}

export interface DraftLayer {
  /** Norms of what is joined; null: as it is. */
  readonly embeddingNorm: Norm | null;
  readonly hiddenNorm: Norm | null;
  /** From embedding and hidden row, joined, `[2 * hiddenSize]`, to a row for the layer. */
  readonly fuse: Linear;
  /** Has attention alone as its mixer. */
  readonly layer: DecoderLayer;
  /** Of what comes out; null: as it is. */
  readonly outputNorm: Norm | null;
}

/** A description with other names of its weights. */
export function renamed<Part>(part: Part, rename: (name: string) => string): Part {
  if (typeof part !== 'object' || part === null || ArrayBuffer.isView(part)) return part;
  if (Array.isArray(part)) return part.map((item: unknown) => renamed(item, rename)) as Part;
  const entries = Object.entries(part).map(([key, value]: [string, unknown]) => {
    const isName = key === 'name' && 'shape' in part;
    return [key, isName ? rename((part as unknown as Weight).name) : renamed(value, rename)];
  });
  return Object.fromEntries(entries) as Part;
}

/** @throws OctavoError `model_unsupported` for a layer with anything beside plain attention */
export function attentionOnly(config: Config, layer: DecoderLayer): DecoderLayer {
  const [mixer, ...others] = layer.mixers;
  const isAlone = others.length === 0 && !layer.layerInput && !layer.streams;
  // A softcap would bound the score that hides the first token, too (`build/hidden-first.ts`), and
  // all stages are one layer of the attention, which has the sinks of one.
  const isPlain =
    mixer?.kind === 'attention' &&
    mixer.projections.kind !== 'query' &&
    mixer.softcap === 0 &&
    mixer.sinks === null;
  if (isAlone && isPlain) return layer;
  throw config.unsupported('a layer that drafts has attention alone, without softcap and sinks');
}
