import type { Graph } from '../graph.js';
import { readersOf, replaceInput } from '../graph-queries.js';
import { type NodeProto, type TensorProto, TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import { BlockMatmuls } from './block-matmuls.js';
import type { Matmul } from './find-matmuls.js';
import type { BlockedWeight } from './packed-weight.js';
import type { Activations } from './quantization.js';
import { quantizeMatmuls, type WeightTensors } from './quantize-matmuls.js';

/** What was written of a packed weight. */
export type WrittenWeight =
  | ({ readonly kind: 'blocked' } & BlockedWeight)
  /** int8 `[inputs, outputs]`, multiplied with activations of 8 bits. */
  | ({ readonly kind: 'int8' } & WeightTensors)
  /** float32 `[outputs, inputs]` */
  | { readonly kind: 'dense'; readonly tensor: TensorProto };

/**
 * Makes the readers of packed weights read what was written of them. Of weights in blocks, matmuls
 * become MatMulNBits, and look-ups of rows GatherBlockQuantized. Where a weight has offsets,
 *
 *     sum of (s (q - m) + offset) x = sum of s (q - m) x + sum over groups of offset (sum of x)
 *
 * whose second part is a matmul of a sixteenth or less of the size; matmuls of one activation share
 * its sums.
 */
export function replaceUnpacked(
  graph: Graph,
  written: ReadonlyMap<NodeProto, WrittenWeight>,
  activations: Activations,
): void {
  const replacer = new BlockMatmuls(graph, activations);
  const readers = readersOf(graph);
  const int8 = new Map<Matmul, WeightTensors>();
  const turned: NodeProto[] = [];
  for (const [unpack, weight] of written) {
    const [output] = unpack.output;
    const own = readers.get(output) ?? [];
    if (weight.kind === 'dense') {
      graph.addInitializer(weight.tensor);
      replaceInput(own, output, weight.tensor.name);
      replacer.drop(unpack);
      continue;
    }
    const transposes = own.filter(({ opType }) => opType === 'Transpose');
    const matmuls = transposes.flatMap((node) => readers.get(node.output[0]) ?? []);
    if (weight.kind === 'int8') {
      for (const node of matmuls) int8.set(asMatmul(node, weight), weight);
      turned.push(unpack, ...transposes);
      continue;
    }
    replacer.keep(weight);
    replacer.drop(unpack, ...transposes);
    for (const node of matmuls) replacer.matmul(node, weight);
    for (const reader of own) {
      if (reader.opType === 'Gather') replacer.lookUp(reader, weight);
      else if (reader.opType !== 'Transpose') {
        throw new Error(`${reader.name} reads a packed weight`);
      }
    }
  }
  replacer.finish();
  quantizeMatmuls(graph, { matmuls: [...int8.keys()], embeddings: [], left: [] }, int8);
  graph.removeNodes(...turned);
}

function asMatmul(node: NodeProto, { values }: WeightTensors): Matmul {
  const [inputs, outputs] = values.dims.map(Number);
  const source = { kind: 'dense', tensor: values, turned: false } as const;
  return { node, activation: node.input[0], type: Type.FLOAT, source, inputs, outputs, bias: '' };
}
