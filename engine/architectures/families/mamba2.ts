import type { Config } from '../config.js';
import type { Decoder } from '../decoder.js';
import { mambaLayer, stepLimits } from './mamba.js';
import { linear, readActivation, rmsNorm } from './parts.js';

/** Mamba 2: layers with a state, and nothing else (Dao and Gu 2024). */
export function mamba2(config: Config): Decoder {
  const hidden = config.size('hidden_size');
  const vocab = config.size('vocab_size');
  const numHeads = config.size('num_heads', 128);
  const headSize = config.size('head_dim', 64);
  const numGroups = config.size('n_groups', 8);
  const epsilon = config.number('layer_norm_epsilon', 1e-5);
  if (readActivation(config) !== 'silu') throw config.wrong('hidden_act', 'silu');
  if (numHeads % numGroups !== 0) throw config.wrong('n_groups', `a divisor of ${numHeads}`);
  const bias = config.flag('use_bias', false);
  const options = {
    hidden,
    numHeads,
    headSize,
    numGroups,
    stateSize: config.size('state_size', 128),
    taps: config.size('conv_kernel', 4),
    convolutionBias: config.flag('use_conv_bias', true),
    bias: { input: bias, output: bias },
    stepLimits: stepLimits(config, 'time_step_limit'),
    epsilon,
    norm: { beforeGate: false },
  };
  const embedding = { name: 'backbone.embeddings.weight', shape: [vocab, hidden] };
  const isTied = config.flag('tie_word_embeddings', false);
  const none = { before: null, after: null };
  return {
    family: 'mamba2',
    vocabSize: vocab,
    hiddenSize: hidden,
    embedding: { weight: embedding, scale: 1, positions: null },
    layers: Array.from({ length: config.count('num_hidden_layers') }, (_, layer) => ({
      mixers: [mambaLayer(`backbone.layers.${layer}.mixer`, options)],
      feedForward: null,
      mixerNorms: {
        before: rmsNorm(`backbone.layers.${layer}.norm`, hidden, epsilon),
        after: null,
      },
      feedForwardNorms: none,
      parallel: false,
      residualScale: 1,
    })),
    finalNorm: rmsNorm('backbone.norm_f', hidden, epsilon),
    head: isTied
      ? { weight: embedding, bias: null, turned: true }
      : linear('lm_head', vocab, hidden),
    logitScale: 1,
    logitSoftcap: 0,
    unread: isTied ? [/^lm_head\.weight$/] : [],
  };
}
