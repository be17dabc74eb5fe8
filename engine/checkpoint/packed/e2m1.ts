/**
 * The numbers of MXFP4 (OCP Microscaling Formats 1.0: E2M1), doubled: whole. The upper half of the
 * list has the sign bit.
 */
export const DOUBLED_E2M1 = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

/** Half of the power of 2 whose exponent, with a bias of 127, a byte holds (E8M0). */
export function halvedPower(exponent: number): number {
  word[0] = exponent < 2 ? 0x00200000 << exponent : (exponent - 1) << 23;
  return float[0];
}
