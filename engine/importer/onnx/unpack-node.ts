import { PACKED_FORMATS } from '../../checkpoint/packed/index.js';
import type { PackedFormat } from '../../checkpoint/packed/packed-format.js';
import type { ComposedFormat } from '../../checkpoint/stored-tensor.js';
import { intAttribute } from './nodes.js';
import type { NodeProto } from './onnx_pb.js';

/**
 * Makes a float32 matrix of a packed weight. A placeholder that no runtime computes: a pass writes
 * the weight in a form that ONNX Runtime has (`unpack-model.ts`), and replaces the node's readers.
 * Inputs are the bytes of a weight, or of several whose rows follow one another, or the parts of
 * one in the order of `COMPOSED_PARTS`.
 */
export const UNPACK = 'UnpackWeight';
export const OCTAVO = 'octavo';

/** Rows and columns of the matrix. */
export interface MatrixSizes {
  readonly rows: number;
  readonly columns: number;
}

/** What a node unpacks: rows of blocks, or a weight of several tensors. */
export type Unpacking = MatrixSizes &
  (
    | { readonly kind: 'blocks'; readonly format: PackedFormat }
    | {
        readonly kind: 'composed';
        readonly format: ComposedFormat;
        readonly bits: number;
        /** Rows of the whole weight, of which these are `first` and the following. */
        readonly outputs: number;
        readonly first: number;
        readonly added: 0 | 1;
        readonly block: readonly [rows: number, columns: number];
      }
  );

export function unpackingOf(node: NodeProto): Unpacking {
  const name = formatOf(node);
  const number = (key: string): number => intAttribute(node, key, 0);
  const sizes = { rows: number('rows'), columns: number('columns') };
  const format = PACKED_FORMATS.get(name);
  if (format) return { ...sizes, kind: 'blocks', format };
  return {
    ...sizes,
    kind: 'composed',
    format: name as ComposedFormat,
    bits: number('bits'),
    outputs: number('outputs'),
    first: number('first'),
    added: number('added') === 1 ? 1 : 0,
    block: [number('block_rows'), number('block_columns')],
  };
}

/** The name of the format, for reports. */
export function formatOf(node: NodeProto): string {
  return new TextDecoder().decode(node.attribute.find((a) => a.name === 'format')?.s);
}
