import type { Graph } from './graph.js';
import { UNPACK, unpackingOf } from './onnx/unpack-node.js';

const KEEPING_SIZES = new Set(['Cast', 'Identity', 'DequantizeLinear']);

/** Rows and columns of a constant matrix or of its Transpose; undefined for anything else. */
export function matrixSizes(graph: Graph, name: string): readonly [number, number] | undefined {
  let isTurned = false;
  for (let at = name; ; ) {
    const dims = graph.initializer(at)?.dims.map(Number);
    if (dims) {
      const [rows, columns] = isTurned ? [dims[1], dims[0]] : dims.slice(-2);
      return dims.length >= 2 ? [rows, columns] : undefined;
    }
    const maker = graph.producer(at);
    if (!maker) return undefined;
    const order = maker.attribute.find((attribute) => attribute.name === 'perm')?.ints.map(Number);
    if (maker.opType === UNPACK) {
      const { rows, columns } = unpackingOf(maker);
      return isTurned ? [columns, rows] : [rows, columns];
    }
    if (maker.opType === 'Transpose') isTurned = isTurned !== (order?.join() !== '0,1');
    else if (!KEEPING_SIZES.has(maker.opType)) return undefined;
    at = maker.input[0];
  }
}
