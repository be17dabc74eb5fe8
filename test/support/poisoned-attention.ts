import { KernelAttention, type KernelOptions } from '../../engine/attention/kernel-attention.js';
import type { PagedAttentionConfig } from '../../engine/attention/page-layout.js';
import { ReferenceAttention } from '../../engine/attention/reference-attention.js';

/**
 * Every byte of the pages becomes NaN (of integers the scales do): an unwritten or foreign slot
 * must be seen.
 */
export function poisonedKernel(
  config: PagedAttentionConfig,
  options: KernelOptions = {},
): KernelAttention {
  const kernel = new KernelAttention(config, options);
  for (const memory of kernel.pages.memories) {
    for (const { start, bytes } of memory.regions()) memory.arena.bytes(start, bytes).fill(0xff);
  }
  return kernel;
}

export function poisonedReference(config: PagedAttentionConfig): ReferenceAttention {
  const reference = new ReferenceAttention(config);
  for (const { key, value } of reference.pages.slots) {
    key.fill(Number.NaN);
    value.fill(Number.NaN);
  }
  return reference;
}
