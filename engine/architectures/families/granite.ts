import type { Config } from '../config.js';
import type { Decoder } from '../decoder.js';
import { llamaDecoder, packedMlp, type Traits } from './llama-layers.js';
import { readActivation, readSizes, rotaryOf } from './parts.js';

/** Granite 3: factors on embedding, scores, residuals and logits. */
export function granite(config: Config): Decoder {
  return llamaDecoder(config, {
    family: 'granite',
    ...traitsOf(config),
  });
}

/** Granite 4, the dense ones: layers with attention alone, and no experts. */
export function graniteHybrid(config: Config): Decoder {
  const width = config.size('shared_intermediate_size', 1024);
  const sizes = readSizes(config.with({ intermediate_size: width }));
  const { layers } = sizes;
  const kinds = config.texts('layer_types', layers) ?? config.texts('layers_block_type', layers);
  if (!kinds?.every((kind) => kind === 'attention' || kind === 'full_attention')) {
    throw config.unsupported(
      'layer_types has layers without attention (Mamba 2); they are served from ONNX only',
    );
  }
  if (config.number('num_local_experts', 8) > 0) {
    throw config.unsupported('num_local_experts is above 0; of this type, dense models are served');
  }
  const isRotated = config.text('position_embedding_type', '') === 'rope';
  const rotary = isRotated ? rotaryOf(config, sizes) : null;
  const activation = readActivation(config);
  return llamaDecoder(config, {
    family: 'granitemoehybrid',
    ...traitsOf(config),
    sizes,
    rotary: () => rotary,
    feedForward: (path) =>
      packedMlp(path.replace(/mlp$/, 'shared_mlp'), sizes, activation, {
        both: 'input_linear',
        down: 'output_linear',
      }),
  });
}

function traitsOf(config: Config): Omit<Traits, 'family'> {
  const bias = config.flag('attention_bias', false);
  const scale = config.number('attention_multiplier', 1);
  return {
    biases: { qkv: bias, output: bias, mlp: config.flag('mlp_bias', false) },
    attention: () => ({ scale }),
    embeddingScale: config.number('embedding_multiplier', 1),
    residualScale: config.number('residual_multiplier', 1),
    logitScale: 1 / config.number('logits_scaling', 1),
  };
}
