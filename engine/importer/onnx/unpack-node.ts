import { PACKED_FORMATS } from '../../checkpoint/packed/index.js';
import type { PackedFormat } from '../../checkpoint/packed/packed-format.js';
import { intAttribute } from './nodes.js';
import type { NodeProto } from './onnx_pb.js';

/**
 * Makes a float32 matrix of a packed weight. A placeholder that no runtime computes: a pass writes
 * the weight in a form that ONNX Runtime has (`unpack-model.ts`), and replaces the node's readers.
 */
export const UNPACK = 'UnpackWeight';
export const OCTAVO = 'octavo';

/** Rows and columns of the matrix, and the format of its rows. */
export interface UnpackedSizes {
  readonly format: PackedFormat;
  readonly rows: number;
  readonly columns: number;
}

export function unpackedSizes(node: NodeProto): UnpackedSizes {
  const name = new TextDecoder().decode(node.attribute.find((a) => a.name === 'format')?.s);
  const format = PACKED_FORMATS.get(name);
  if (!format) throw new Error(`no packed format ${name}`);
  return { format, rows: intAttribute(node, 'rows', 0), columns: intAttribute(node, 'columns', 0) };
}
