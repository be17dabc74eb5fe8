import { describe, expect, it } from 'vitest';
import type { OnnxBuilder } from '../../../bench/models/onnx-builder.js';
import { TINY, tinyDecoder } from '../../support/tiny-decoder.js';
import { failure, type ImportFailure } from './import-failure.js';

/** The test decoder with one more node of com.microsoft before its LM head. */
async function refusal(
  opType: string,
  inputs: readonly string[],
  attributes: Parameters<OnnxBuilder['contrib']>[3],
): Promise<ImportFailure> {
  const b = tinyDecoder();
  b.weight('w', [TINY.hidden, TINY.hidden]);
  const head = b.nodes.find(({ name }) => name === 'head');
  if (!head) throw new Error('no head');
  head.input[0] = b.contrib(opType, 'odd', [head.input[0], ...inputs], attributes);
  return failure(b.bytes());
}

describe('a node that ONNX Runtime cannot run on the CPU', () => {
  it.each([
    ['MatMulNBits', ['w', 'w'], { bits: 1, K: 24, N: 24 }, 'weights of 1 bits'],
    // As the model builder 0.18 writes them for -e cuda.
    [
      'MatMulNBits',
      ['w', 'w'],
      { bits: 4, K: 24, N: 24, weight_prepacked: 1 },
      'weights laid out for a GPU (weight_prepacked 1)',
    ],
    [
      'QMoE',
      ['w', 'w', 'w', '', 'w', 'w'],
      { k: 2, weights_prepacked: 1 },
      'weights laid out for a GPU (weights_prepacked 1)',
    ],
    [
      'QMoE',
      ['w', 'w', 'w', '', 'w', 'w'],
      { k: 2, quant_type: 'nvfp4' },
      'experts in the format nvfp4',
    ],
    ['MoE', ['w', 'w', '', 'w', '', 'w'], { k: 2 }, 'experts of three matmuls'],
    ['MoE', ['w', 'w', '', 'w'], { k: 2, use_sparse_mixer: 1 }, 'SparseMixer routing'],
    [
      'QMoE',
      ['w', 'w', 'w', '', 'w', 'w', '', 'w', 'w'],
      { k: 2, activation_type: 'silu' },
      'experts of three matmuls',
    ],
    [
      'QMoE',
      ['w', 'w', 'w', '', 'w', 'w'],
      { k: 2, activation_type: 'swiglu', swiglu_fusion: 2 },
      'swiglu_fusion 2',
    ],
  ])('is refused by name: %s %j %j', async (opType, inputs, attributes, reason) => {
    const { kind, message } = await refusal(opType, inputs, attributes);
    expect(kind).toBe('model_unsupported');
    expect(message).toContain(`node odd (${opType}): ONNX Runtime has no CPU kernel for ${reason}`);
  });
});
