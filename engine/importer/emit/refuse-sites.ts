import type { AttentionSite } from '../imported-model.js';

/** What the self-test of a device has found of attention; a text says why something failed. */
export interface DeviceAbilities {
  /** Steps of single tokens, prompts in pieces, and both together; null: right. */
  readonly plain: string | null;
  readonly windows: string | null;
  readonly sinks: string | null;
}

/**
 * Why PagedAttention on a device cannot compute what an attention node does; null: it can. ONNX
 * Runtime refuses some of it only in the first step (`non-zero softcap is not supported yet`), and
 * has no input for the rest.
 */
export function refusalOf(site: AttentionSite, abilities: DeviceAbilities): string | null {
  const { headSize, softcap, alibiSlopes, sinks, slidingWindow, pagesOf } = site;
  if (softcap > 0) return `caps its scores (softcap ${softcap})`;
  if (alibiSlopes) return 'adds a bias to its scores (ALiBi)';
  if (headSize % 8 !== 0) return `has heads of ${headSize} numbers, and only multiples of 8 can be`;
  if (pagesOf !== undefined) return `reads the keys and values of layer ${pagesOf}`;
  const failed = (what: string, reason: string | null): string | null =>
    reason === null ? null : `${what}, which this device computes wrong (${reason})`;
  return (
    failed('attends over pages', abilities.plain) ??
    (slidingWindow > 0 ? failed('has a sliding window', abilities.windows) : null) ??
    (sinks ? failed('has attention sinks', abilities.sinks) : null)
  );
}
