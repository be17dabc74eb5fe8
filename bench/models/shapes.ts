/** Dimensions of published decoders, for models with random weights. */
export interface DecoderShape {
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly mlp: number;
  readonly vocab: number;
  readonly context: number;
  readonly ropeTheta: number;
  /** Query, key and value have a bias. */
  readonly qkvBias: boolean;
}

export const SHAPES = {
  'qwen2.5-0.5b': {
    hidden: 896,
    layers: 24,
    heads: 14,
    kvHeads: 2,
    headSize: 64,
    mlp: 4864,
    vocab: 151_936,
    context: 32_768,
    ropeTheta: 1_000_000,
    qkvBias: true,
  },
  'llama-3.2-1b': {
    hidden: 2048,
    layers: 16,
    heads: 32,
    kvHeads: 8,
    headSize: 64,
    mlp: 8192,
    vocab: 128_256,
    context: 131_072,
    ropeTheta: 500_000,
    qkvBias: false,
  },
  /** One layer of the first one: for what happens around the LM head. */
  'qwen2.5-0.5b-head': {
    hidden: 896,
    layers: 1,
    heads: 14,
    kvHeads: 2,
    headSize: 64,
    mlp: 4864,
    vocab: 151_936,
    context: 32_768,
    ropeTheta: 1_000_000,
    qkvBias: true,
  },
  /** For trying the benchmarks themselves. */
  small: {
    hidden: 256,
    layers: 4,
    heads: 8,
    kvHeads: 2,
    headSize: 32,
    mlp: 512,
    vocab: 4096,
    context: 4096,
    ropeTheta: 10_000,
    qkvBias: false,
  },
} as const satisfies Record<string, DecoderShape>;

export type ShapeName = keyof typeof SHAPES;

/** What config.json says of a shape; the architecture is for the caller to name. */
export function configOf(shape: DecoderShape): object {
  return {
    vocab_size: shape.vocab,
    hidden_size: shape.hidden,
    intermediate_size: shape.mlp,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.kvHeads,
    head_dim: shape.headSize,
    max_position_embeddings: shape.context,
    rope_theta: shape.ropeTheta,
    rms_norm_eps: 1e-6,
  };
}
