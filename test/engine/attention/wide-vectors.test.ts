import { describe, expect, it } from 'vitest';
import { compileKernel } from '../../../engine/attention/kernel/module.js';
import {
  compileAttention,
  compileWide,
  knowsWideVectors,
  outputsOf,
} from '../../../engine/attention/kernel/wide-vectors.js';
import { KV_DTYPES, type KvDtype } from '../../../engine/attention/paged-attention.js';
import { sameBits } from '../../support/same-bits.js';

const FLOATS: ReadonlySet<KvDtype> = new Set(['f32', 'bf16']);
const isWide = (module: WebAssembly.Module | null, kvDtype: KvDtype): boolean =>
  module !== null && WebAssembly.Module.customSections(module, `wide ${kvDtype}`).length === 1;

describe('the kernel for vectors of 256 bits', () => {
  it.each(KV_DTYPES)('of %s pages computes the same bits', (kvDtype) => {
    const outputs = outputsOf(compileAttention(kvDtype), kvDtype);
    const expected = outputsOf(compileKernel(), kvDtype);
    expect(expected.flatMap((output) => [...output]).every(Number.isFinite)).toBe(true);
    for (const [i, output] of outputs.entries()) expect(sameBits(output, expected[i])).toBe(true);
  });

  it('is taken for floats, where Node knows it', () => {
    for (const kvDtype of KV_DTYPES) {
      const isTaken = knowsWideVectors() && FLOATS.has(kvDtype);
      expect(isWide(compileAttention(kvDtype), kvDtype)).toBe(isTaken);
    }
  });

  it('is refused when one number differs', () => {
    // CI runs this on Node 24, too.
    if (!knowsWideVectors()) return;
    const expected = outputsOf(compileKernel(), 'f32').map((output) => output.slice());
    expect(isWide(compileWide('f32', expected), 'f32')).toBe(true);
    const last = expected[expected.length - 1];
    last[last.length - 1] += 1e-7;
    expect(compileWide('f32', expected)).toBeNull();
  });
});
