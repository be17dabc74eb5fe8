import { clipName } from '../../clip.js';
import { OctavoError } from '../../errors.js';
import type { ComposedFormat, ComposedWeight, StoredTensor } from '../stored-tensor.js';
import { isDivisible } from './groups.js';
import type { Block, Packing } from './packing.js';

type Shape = readonly number[];
type Parts = ComposedWeight['parts'];

const SUFFIX = '.weight';
const FLOATS = ['F32', 'F16', 'BF16'];
const WORDS = ['I32'];

/** A matrix whose parts are looked for; those that are found are taken out. */
export class MatrixParts {
  readonly #file: string;
  readonly #tensors: Map<string, StoredTensor>;
  readonly #base: string;
  readonly #outputs: number;
  readonly #inputs: number;

  constructor(
    file: string,
    tensors: Map<string, StoredTensor>,
    base: string,
    outputs: number,
    inputs: number,
  ) {
    this.#file = file;
    this.#tensors = tensors;
    this.#base = base;
    this.#outputs = outputs;
    this.#inputs = inputs;
  }

  /** @returns null for a matrix that is not quantized, or missing */
  read(packing: Packing): StoredTensor | null {
    switch (packing.method) {
      case 'gptq':
        return this.#has('qweight') ? this.#gptq(packing.added) : null;
      case 'awq':
        return this.#has('qweight') ? this.#awq() : null;
      case 'compressed-tensors':
        if (this.#has('weight_packed')) return this.#packed();
        if (this.#type() === 'I8') return this.#int8(packing.hasActivations);
        return this.#type() === 'F8_E4M3' ? this.#fp8('weight_scale', packing.block) : null;
      case 'fp8':
        if (this.#type() !== 'F8_E4M3') return null;
        return this.#fp8(packing.block ? 'weight_scale_inv' : 'weight_scale', packing.block);
      case 'mxfp4':
        return null;
    }
  }

  #gptq(added: 0 | 1): StoredTensor {
    const [outputs, inputs] = [this.#outputs, this.#inputs];
    const { values, bits } = this.#values('qweight', [2, 4, 8], (words) => [words, outputs]);
    const scales = this.#part('scales', FLOATS, [null, outputs]);
    const groups = this.#groups(scales.shape[0]);
    const zeros = this.#part('qzeros', WORDS, [groups, (outputs * bits) / 32]);
    const order = this.#optional('g_idx', WORDS, [inputs]);
    return this.#made('gptq', { values, scales, zeros, ...(order && { order }) }, { bits, added });
  }

  #awq(): StoredTensor {
    const words = this.#outputs / 8;
    const values = this.#part('qweight', WORDS, [this.#inputs, words]);
    const scales = this.#part('scales', FLOATS, [null, this.#outputs]);
    const zeros = this.#part('qzeros', WORDS, [this.#groups(scales.shape[0]), words]);
    return this.#made('awq', { values, scales, zeros }, { bits: 4 });
  }

  #packed(): StoredTensor {
    const [outputs, inputs] = [this.#outputs, this.#inputs];
    const { values, bits } = this.#values('weight_packed', [4, 8], (words) => [outputs, words]);
    const scales = this.#part('weight_scale', FLOATS, [outputs, null]);
    const groups = this.#groups(scales.shape[1]);
    const zeroWords = Math.ceil((outputs * bits) / 32);
    const zeros = this.#optional('weight_zero_point', WORDS, [zeroWords, groups]);
    const order = this.#optional('weight_g_idx', WORDS, [inputs]);
    // (The matrix' shape again, as numbers.)
    this.#optional('weight_shape', ['I64', 'I32'], [2]);
    const parts = { values, scales, ...(zeros && { zeros }), ...(order && { order }) };
    return this.#made('packed', parts, { bits });
  }

  #int8(hasActivations: boolean): StoredTensor {
    const values = this.#part('weight', ['I8'], [this.#outputs, this.#inputs]);
    this.#groups(1);
    if (this.#has('weight_zero_point')) {
      throw new OctavoError(
        'model_unsupported',
        `${this.#file}: ${this.#name('weight_zero_point')} belongs to int8 weights, which are served without zero points`,
      );
    }
    const scales = this.#scales('weight_scale', [1, this.#inputs]);
    return this.#made(hasActivations ? 'w8a8' : 'int8', { values, scales }, { bits: 8 });
  }

  #fp8(suffix: string, block: Block | null): StoredTensor {
    const whole: Block = [this.#outputs, this.#inputs];
    const values = this.#part('weight', ['F8_E4M3'], whole);
    const isOne = this.#tensors.get(`${this.#base}.${suffix}`)?.shape.length !== 2;
    const own = block ?? (isOne ? whole : ([1, this.#inputs] as const));
    const scales = this.#scales(suffix, own);
    return this.#made('fp8', { values, scales }, { bits: 8, block: own });
  }

  /** Whole numbers in words, whose bits follow from the number of words. */
  #values(
    suffix: string,
    allowed: readonly number[],
    shapeOf: (words: number) => Shape,
  ): { readonly values: StoredTensor; readonly bits: number } {
    const shapes = allowed.map((bits) => shapeOf((this.#inputs * bits) / 32));
    const own = this.#tensors.get(`${this.#base}.${suffix}`)?.shape.join();
    const index = shapes.findIndex((shape) => shape.join() === own);
    const values = this.#part(suffix, WORDS, shapes[index] ?? shapes.at(-2) ?? []);
    return { values, bits: allowed[index] };
  }

  /** Scales of blocks: one for all of them, or a table. */
  #scales(suffix: string, [rows, columns]: Block): StoredTensor {
    const table = [Math.ceil(this.#outputs / rows), Math.ceil(this.#inputs / columns)];
    const { shape } = this.#tensors.get(`${this.#base}.${suffix}`) ?? {};
    const isOne = shape !== undefined && shape.length < 2 && shape.every((n) => n === 1);
    return this.#part(suffix, [...FLOATS, 'F8_E8M0'], isOne ? shape : table);
  }

  #groups(groups: number): number {
    if (isDivisible(this.#inputs, groups)) return groups;
    throw new OctavoError(
      'model_unsupported',
      `${this.#file}: ${clipName(this.#base)} has ${this.#inputs} inputs in ${groups} groups; served are equal groups of a multiple of 16`,
    );
  }

  #made(
    format: ComposedFormat,
    parts: Parts,
    { bits, added = 0, block = [1, 1] }: { bits: number; added?: 0 | 1; block?: Block },
  ): StoredTensor {
    const { values } = parts;
    if (!values) throw new Error(`${this.#base} has no numbers`);
    return {
      ...values,
      name: this.#name('weight'),
      type: format,
      shape: [this.#outputs, this.#inputs],
      composed: { format, bits, added, block, parts },
    };
  }

  #name(suffix: string): string {
    return clipName(`${this.#base}.${suffix}`);
  }

  #has(suffix: string): boolean {
    return this.#tensors.has(`${this.#base}.${suffix}`);
  }

  #type(): string | undefined {
    return this.#tensors.get(`${this.#base}${SUFFIX}`)?.type;
  }

  #optional(
    suffix: string,
    types: readonly string[],
    shape: readonly (number | null)[],
  ): StoredTensor | null {
    return this.#has(suffix) ? this.#part(suffix, types, shape) : null;
  }

  /** Takes a tensor. @param shape null where any size is good */
  #part(suffix: string, types: readonly string[], shape: readonly (number | null)[]): StoredTensor {
    const key = `${this.#base}.${suffix}`;
    const tensor = this.#tensors.get(key);
    const fail = (what: string): OctavoError =>
      new OctavoError('model_file_corrupt', `${this.#file}: ${what}`);
    const matrix = `the quantized matrix ${clipName(this.#base)} [${this.#outputs}, ${this.#inputs}]`;
    if (!tensor) throw fail(`lacks ${clipName(key)}, which ${matrix} needs`);
    const fits =
      tensor.shape.length === shape.length &&
      shape.every((size, i) => size === null || size === tensor.shape[i]);
    if (!fits) {
      const wanted = shape.map((size) => size ?? 'any').join(', ');
      throw fail(
        `${clipName(key)} has the shape [${tensor.shape.join(', ')}]; ${matrix} needs [${wanted}]`,
      );
    }
    if (!types.includes(tensor.type)) {
      throw fail(
        `${clipName(key)} has the type ${clipName(tensor.type)}; it must be ${types.join(', ')}`,
      );
    }
    this.#tensors.delete(key);
    return tensor;
  }
}
