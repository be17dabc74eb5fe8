import type { Tensor } from './checkpoint-as-gguf.js';
import { flag, float, ints, number, type Value } from './gguf.js';
import type { GgufCase } from './gguf-case.js';

type Json = Readonly<Record<string, unknown>>;

const num = (config: Json, key: string): number => config[key] as number;
const list = (config: Json, key: string): number[] => config[key] as number[];

/** Some rows of a matrix, or numbers of a list. */
function rows({ values, shape, name }: Tensor, first: number, count: number, as = name): Tensor {
  const width = shape.slice(1).reduce((a, b) => a * b, 1);
  const part = values.slice(first * width, (first + count) * width);
  return { name: as, shape: [count, ...shape.slice(1)], values: part };
}

const times = (tensor: Tensor, factor: number): Tensor => ({
  ...tensor,
  values: tensor.values.map((x) => x * factor),
});

function joined(name: string, parts: readonly Tensor[]): Tensor {
  const count = parts.reduce((n, { shape }) => n + shape[0], 0);
  const values = Float32Array.from(parts.flatMap((part) => [...part.values]));
  return { name, shape: [count, ...parts[0].shape.slice(1)], values };
}

/** Sizes of Mamba layers. */
const mamba = (config: Json, prefix: string): Record<string, Value> => {
  const heads = num(config, prefix === 'mamba' ? 'mamba_n_heads' : 'mamba_num_heads');
  const size = num(config, prefix === 'mamba' ? 'mamba_d_head' : 'mamba_head_dim');
  const of = (bamba: string, nemotron: string): Value =>
    number(num(config, prefix === 'mamba' ? bamba : nemotron));
  return {
    'ssm.inner_size': number(heads * size),
    'ssm.time_step_rank': number(heads),
    'ssm.state_size': of('mamba_d_state', 'ssm_state_size'),
    'ssm.group_count': of('mamba_n_groups', 'n_groups'),
    'ssm.conv_kernel': of('mamba_d_conv', 'conv_kernel'),
  };
};

const MAMBA = [
  [/(mamba|mixer|linear_attn)\.(in|out)_proj\./, 'ssm_$2.'],
  [/(mamba|mixer|linear_attn)\.conv1d/, 'ssm_conv1d'],
  [/(mamba|mixer|linear_attn)\.A_log/, 'ssm_a'],
  [/(mamba|mixer|linear_attn)\.D$/, 'ssm_d'],
  [/(mamba|mixer|linear_attn)\.dt_bias/, 'ssm_dt.bias'],
  [/(mamba|mixer|linear_attn)\.norm\./, 'ssm_norm.'],
] as const;

/** Gate and up are the halves of one matrix, of all experts or of the block that all share. */
function graniteParts(tensor: Tensor): readonly Tensor[] {
  const { name, shape } = tensor;
  const path = name.replace(/\.[^.]+\.[^.]+\.weight$/, '');
  if (name.endsWith('shared_mlp.input_linear.weight')) {
    const half = shape[0] / 2;
    return [
      rows(tensor, 0, half, `${path}.ffn_gate_shexp.weight`),
      rows(tensor, half, half, `${path}.ffn_up_shexp.weight`),
    ];
  }
  if (!/block_sparse_moe\.(in|out)put_linear/.test(name)) return [tensor];
  const size = shape[1] * shape[2];
  return Array.from({ length: shape[0] }, (_, e) => {
    const values = tensor.values.slice(e * size, (e + 1) * size);
    const matrix = { name: '', shape: shape.slice(1), values };
    const at = `${path}.ffn_exps.${e}`;
    if (name.includes('output')) return [{ ...matrix, name: `${at}.down.weight` }];
    const half = shape[1] / 2;
    return [
      rows(matrix, 0, half, `${at}.gate.weight`),
      rows(matrix, half, half, `${at}.up.weight`),
    ];
  }).flat();
}

/** All of the family's factors, in the weights. */
function falconFactors(tensor: Tensor, config: Json): readonly Tensor[] {
  const { name } = tensor;
  const [gate, down] = list(config, 'mlp_multipliers');
  const into = num(config, 'attention_in_multiplier');
  const by = (factor: number): readonly Tensor[] => [times(tensor, factor)];
  if (name.includes('down_proj')) return by(down);
  if (name.includes('gate_proj')) return by(gate);
  if (name.includes('k_proj')) return by(num(config, 'key_multiplier') * into);
  if (/self_attn\.[qv]_proj/.test(name)) return by(into);
  if (name.includes('o_proj')) return by(num(config, 'attention_out_multiplier'));
  if (name.includes('mamba.out_proj')) return by(num(config, 'ssm_out_multiplier'));
  if (name.includes('embed_tokens')) {
    // The head has a factor of its own, so that it is a tensor of its own.
    const head = times(tensor, num(config, 'lm_head_multiplier'));
    return [...by(num(config, 'embedding_multiplier')), { ...head, name: 'output.weight' }];
  }
  if (!name.includes('mamba.in_proj')) return [tensor];
  const inner = num(config, 'mamba_d_ssm');
  const shared = num(config, 'mamba_n_groups') * num(config, 'mamba_d_state');
  const widths = [inner, inner, shared, shared, num(config, 'mamba_n_heads')];
  const factors = list(config, 'ssm_multipliers').map((x) => x * num(config, 'ssm_in_multiplier'));
  let first = 0;
  const scaled = widths.map((width, i) => {
    const part = times(rows(tensor, first, width), factors[i]);
    first += width;
    return part;
  });
  return [joined(name, scaled)];
}

/** What goes head by head in the checkpoint, part by part. */
function qwenParts(tensor: Tensor, config: Json): readonly Tensor[] {
  const { name, shape } = tensor;
  if (name.endsWith('shared_expert_gate.weight')) return [{ ...tensor, shape: shape.slice(1) }];
  if (!name.includes('in_proj_qkvz')) return [tensor];
  const [keys, values] = [
    num(config, 'linear_num_key_heads'),
    num(config, 'linear_num_value_heads'),
  ];
  const size = num(config, 'linear_key_head_dim');
  const wide = (values / keys) * num(config, 'linear_value_head_dim');
  const width = 2 * size + 2 * wide;
  const part = (first: number, count: number): Tensor[] =>
    Array.from({ length: keys }, (_, head) => rows(tensor, head * width + first, count));
  const at = name.replace('linear_attn.in_proj_qkvz', '');
  const all = [...part(0, size), ...part(size, size), ...part(2 * size, wide)];
  return [
    joined(at.replace(/weight$/, 'attn_qkv.weight').replace('..', '.'), all),
    joined(
      at.replace(/weight$/, 'attn_gate.weight').replace('..', '.'),
      part(2 * size + wide, wide),
    ),
  ];
}

/** Heads of values in GGUF's order: the first of each head of keys, then the second of each. */
function qwenStrided(tensor: Tensor, config: Json): readonly Tensor[] {
  const { name, shape } = tensor;
  const [keys, values] = [
    num(config, 'linear_num_key_heads'),
    num(config, 'linear_num_value_heads'),
  ];
  const size = num(config, 'linear_value_head_dim');
  const order = Array.from({ length: values }, (_, i) => {
    const [turn, key] = [Math.floor(i / keys), i % keys];
    return key * (values / keys) + turn;
  });
  const sorted = (of: Tensor, each: number): Tensor =>
    joined(
      name,
      order.map((head) => rows(of, head * each, each)),
    );
  const before = 2 * keys * num(config, 'linear_key_head_dim');
  if (/in_proj_qkv\.|conv1d/.test(name)) {
    const rest = sorted(rows(tensor, before, values * size), size);
    return [joined(name, [rows(tensor, 0, before), rest])];
  }
  if (name.includes('in_proj_z')) return [sorted(tensor, size)];
  if (/in_proj_[ab]\.|A_log|dt_bias/.test(name)) return [sorted(tensor, 1)];
  if (!name.includes('linear_attn.out_proj')) return [tensor];
  const width = shape[1];
  const turned = tensor.values.map((_, i) => {
    const column = i % width;
    const from = order[Math.floor(column / size)] * size + (column % size);
    return tensor.values[i - column + from];
  });
  return [{ ...tensor, values: turned }];
}

const qwen = (config: Json): Record<string, Value> => ({
  'ssm.conv_kernel': number(num(config, 'linear_conv_kernel_dim')),
  'ssm.state_size': number(num(config, 'linear_key_head_dim')),
  'ssm.group_count': number(num(config, 'linear_num_key_heads')),
  'ssm.time_step_rank': number(num(config, 'linear_num_value_heads')),
  'ssm.inner_size': number(
    num(config, 'linear_value_head_dim') * num(config, 'linear_num_value_heads'),
  ),
  full_attention_interval: number(2),
});

const kvHeads = (config: Json, kinds: readonly string[]): Value =>
  ints(kinds.map((kind) => (kind === 'full_attention' ? num(config, 'num_key_value_heads') : 0)));

const granite: GgufCase = {
  fixture: 'granite4-h',
  architecture: 'granitehybrid',
  sorts: true,
  groups: 2,
  rewrite: graniteParts,
  names: [
    ...MAMBA,
    [/block_sparse_moe\.router\.layer/, 'ffn_gate_inp'],
    [/shared_mlp\.output_linear/, 'ffn_down_shexp'],
  ],
  metadata: (config) => ({
    ...mamba(config, 'mamba'),
    'attention.head_count_kv': kvHeads(config, config['layer_types'] as string[]),
    'attention.scale': float(num(config, 'attention_multiplier')),
    embedding_scale: float(num(config, 'embedding_multiplier')),
    residual_scale: float(num(config, 'residual_multiplier')),
    logit_scale: float(num(config, 'logits_scaling')),
    expert_count: number(num(config, 'num_local_experts')),
    expert_used_count: number(num(config, 'num_experts_per_tok')),
    expert_shared_feed_forward_length: number(num(config, 'shared_intermediate_size')),
    'rope.scaling.finetuned': flag(false),
  }),
};

const BLOCKS = [
  [/feed_forward\.(gate|up|down)_proj/, 'ffn_$1'],
  [/pre_ff_layernorm\.weight/, 'ffn_norm'],
  [/^model\.final_layernorm/, 'output_norm'],
] as const;

/** Bamba is written as a Granite 4; its rows are sorted for a rotation of whole heads. */
const bamba: GgufCase = {
  fixture: 'bamba',
  architecture: 'granitehybrid',
  sorts: true,
  groups: 2,
  names: [
    ...MAMBA,
    [/feed_forward\.(gate|up|down)_proj/, 'ffn_$1'],
    [/pre_ff_layernorm/, 'ffn_norm'],
    [/^model\.final_layernorm/, 'output_norm'],
  ],
  metadata: (config) => {
    const attends = list(config, 'attn_layer_indices');
    const heads = num(config, 'num_key_value_heads');
    return {
      ...mamba(config, 'mamba'),
      'attention.head_count_kv': ints(
        Array.from({ length: num(config, 'num_hidden_layers') }, (_, i) =>
          attends.includes(i) ? heads : 0,
        ),
      ),
      'rope.scaling.finetuned': flag(true),
    };
  },
};

/** Checkpoints whose layers keep a state, as llama.cpp's converter writes them. */
export const HYBRID_CASES: readonly GgufCase[] = [
  granite,
  bamba,
  {
    fixture: 'falcon-h1',
    architecture: 'falcon-h1',
    groups: 2,
    rewrite: falconFactors,
    names: [...MAMBA, ...BLOCKS],
    metadata: (config) => mamba(config, 'mamba'),
  },
  {
    fixture: 'nemotron-h',
    architecture: 'nemotron_h_moe',
    sorts: true,
    groups: 2,
    names: [
      [/^backbone\.embeddings\./, 'token_embd.'],
      [/^backbone\.norm_f\./, 'output_norm.'],
      [/^backbone\.layers\./, 'blk.'],
      [/^(blk\.\d+)\.norm\./, '$1.attn_norm.'],
      ...MAMBA,
      [/mixer\.([qkv])_proj/, 'attn_$1'],
      [/mixer\.o_proj/, 'attn_output'],
      [/mixer\.experts\.(\d+)\.(up|down)_proj\./, 'ffn_exps.$1.$2.'],
      [/mixer\.shared_experts\.(up|down)_proj/, 'ffn_$1_shexp'],
      [/mixer\.(up|down)_proj/, 'ffn_$1'],
      [/mixer\.gate\.e_score_correction_bias/, 'exp_probs_b.bias'],
      [/mixer\.gate\./, 'ffn_gate_inp.'],
      [/mixer\.fc1_latent_proj/, 'ffn_latent_down'],
      [/mixer\.fc2_latent_proj/, 'ffn_latent_up'],
    ],
    metadata: (config) => {
      const kinds = config['layers_block_type'] as string[];
      const widths: Readonly<Record<string, number>> = {
        moe: num(config, 'moe_intermediate_size'),
        mlp: num(config, 'intermediate_size'),
      };
      return {
        ...mamba(config, 'nemotron'),
        block_count: number(kinds.length),
        feed_forward_length: ints(kinds.map((kind) => widths[kind] ?? 0)),
        'attention.head_count_kv': kvHeads(config, kinds),
        'attention.layer_norm_rms_epsilon': float(num(config, 'layer_norm_epsilon')),
        expert_count: number(num(config, 'n_routed_experts')),
        expert_used_count: number(num(config, 'num_experts_per_tok')),
        expert_feed_forward_length: number(num(config, 'moe_intermediate_size')),
        expert_shared_feed_forward_length: number(
          num(config, 'moe_shared_expert_intermediate_size'),
        ),
        expert_weights_norm: flag(true),
        expert_weights_scale: float(num(config, 'routed_scaling_factor')),
        moe_latent_size: number(num(config, 'moe_latent_size')),
      };
    },
  },
  {
    fixture: 'qwen3-next',
    architecture: 'qwen3next',
    fromOne: true,
    columns: false,
    rewrite: qwenParts,
    names: [
      [/post_attention_layernorm/, 'post_attention_norm'],
      [/linear_attn\.in_proj_ba/, 'ssm_ba'],
      ...MAMBA,
      [/mlp\.experts\.(\d+)\.(gate|up|down)_proj\./, 'ffn_exps.$1.$2.'],
      [/mlp\.shared_expert\.(gate|up|down)_proj/, 'ffn_$1_shexp'],
      [/mlp\.shared_expert_gate/, 'ffn_gate_inp_shexp'],
      [/mlp\.gate\./, 'ffn_gate_inp.'],
    ],
    metadata: (config) => ({
      ...qwen(config),
      expert_count: number(num(config, 'num_experts')),
      expert_used_count: number(num(config, 'num_experts_per_tok')),
      expert_feed_forward_length: number(num(config, 'moe_intermediate_size')),
      expert_shared_feed_forward_length: number(num(config, 'shared_expert_intermediate_size')),
    }),
  },
  {
    fixture: 'qwen3.5',
    architecture: 'qwen35',
    fromOne: true,
    columns: false,
    rewrite: qwenStrided,
    names: [
      [/post_attention_layernorm/, 'post_attention_norm'],
      [/linear_attn\.in_proj_qkv\./, 'attn_qkv.'],
      [/linear_attn\.in_proj_z/, 'attn_gate'],
      [/linear_attn\.in_proj_a/, 'ssm_alpha'],
      [/linear_attn\.in_proj_b/, 'ssm_beta'],
      ...MAMBA,
    ],
    metadata: (config) => ({ ...qwen(config), 'rope.dimension_sections': ints([1, 1, 0, 0]) }),
  },
];
