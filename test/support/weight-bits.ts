import { EXACT_SUMS, exactWeightBits } from '../../engine/importer/quantize/exact-weight-bits.js';
import type { WeightBits } from '../../engine/importer/quantize/quantization.js';

const measured = await exactWeightBits();
if (measured === null) throw new Error('this CPU multiplies not even weights of 7 bits exactly');

/**
 * Bits of a weight that this machine multiplies exactly, as the product itself chooses them: 8, or
 * 7 on x86 without VNNI or AMX.
 */
export const WEIGHT_BITS: WeightBits = measured;

/**
 * Options of a session that multiplies weights of so many bits exactly; none where the machine does
 * it anyway.
 */
export function exactSession(bits: WeightBits): Readonly<Record<string, string>> {
  return bits > WEIGHT_BITS ? EXACT_SUMS : {};
}
