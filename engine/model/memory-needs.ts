import type { Decoder } from '../architectures/decoder.js';
import { type CacheDtype, ELEMENT_BYTES } from '../attention/paged-attention.js';
import type { Graph } from '../importer/graph.js';
import { readersOf } from '../importer/graph-queries.js';
import { type TensorProto, TensorProto_DataType as Type } from '../importer/onnx/onnx_pb.js';
import { UNPACK, type Unpacking, unpackingOf } from '../importer/onnx/unpack-node.js';
import type { Quantization } from '../importer/quantize/quantization.js';
import { byteLength } from '../importer/tensor-data.js';
import { describedModel, type ModelFiles, openGraph } from './open-model.js';

/** What a model takes of memory, by its graph and description alone: nothing is loaded. */
export interface MemoryNeeds {
  readonly parameters: number;
  /** Of the weights as they are multiplied with: about. */
  readonly weightBytes: number;
  /** Of K and V of one token, in layers whose windows do not end; null where nothing states it. */
  readonly kvBytesPerToken: number | null;
}

export interface NeedsOptions {
  readonly quantize: Quantization;
  readonly kvDtype: CacheDtype;
}

const FLOATS: ReadonlySet<number> = new Set([Type.FLOAT, Type.FLOAT16, Type.BFLOAT16, Type.DOUBLE]);

const BYTES: ReadonlySet<number> = new Set([Type.UINT8]);

/** Smaller matrices are left as they are by all quantizations. */
const SMALLEST = 16;

/** @throws OctavoError `model_file_missing`, `model_file_corrupt`, `model_unsupported` */
export async function memoryNeeds(
  files: ModelFiles,
  { quantize, kvDtype }: NeedsOptions,
): Promise<MemoryNeeds> {
  const graph = await openGraph(files);
  const described = await describedModel(files);
  const numbers = described ? kvNumbers(described.decoder) : pastNumbers(graph);
  return {
    ...weightsOf(graph, quantize),
    kvBytesPerToken: numbers === null ? null : numbers * ELEMENT_BYTES[kvDtype],
  };
}

function kvNumbers({ layers }: Decoder): number {
  return layers
    .flatMap(({ mixers }) => mixers)
    .reduce((sum, mixer) => {
      return mixer.kind === 'attention' ? sum + 2 * mixer.numKvHeads * mixer.headSize : sum;
    }, 0);
}

/** By the shapes of an ONNX decoder's past, `[batch, KV heads, tokens, head size]`. */
function pastNumbers(graph: Graph): number | null {
  let sum = 0;
  for (const { name, type } of graph.model.graph?.input ?? []) {
    if (!name.startsWith('past') || type?.value.case !== 'tensorType') continue;
    const dims = type.value.value.shape?.dim ?? [];
    if (dims.length !== 4) continue;
    const [heads, size] = [dims[1].value, dims[3].value];
    if (heads.case !== 'dimValue' || size.case !== 'dimValue') return null;
    sum += Number(heads.value) * Number(size.value);
  }
  return sum === 0 ? null : sum;
}

function weightsOf(
  graph: Graph,
  quantize: Quantization,
): Pick<MemoryNeeds, 'parameters' | 'weightBytes'> {
  const readers = readersOf(graph);
  let parameters = 0;
  let weightBytes = 0;
  const unpacked = new Set<string>();
  for (const node of graph.nodes) {
    if (node.opType !== UNPACK) continue;
    for (const name of node.input) unpacked.add(name);
    const unpacking = unpackingOf(node);
    const count = unpacking.rows * unpacking.columns;
    parameters += count;
    weightBytes += quantize === 'w8a8' ? count : count * bytesOf(unpacking);
  }
  for (const [name, tensor] of graph.initializers) {
    if (unpacked.has(name)) continue;
    const isTable = (readers.get(name) ?? []).every(({ opType }) => opType === 'Gather');
    const count = tensor.dims.reduce((product, dim) => product * Number(dim), 1);
    if (!FLOATS.has(tensor.dataType)) {
      weightBytes += byteLength(tensor);
      if (isPackedWeight(tensor)) parameters += 2 * count;
    } else {
      parameters += count;
      const isMatrix = !isTable && tensor.dims.filter((dim) => dim >= SMALLEST).length >= 2;
      if (isMatrix && quantize === 'w8a8') weightBytes += count;
      else weightBytes += isTable ? byteLength(tensor) : 4 * count;
    }
  }
  return { parameters, weightBytes };
}

/** Of one number of a packed weight, with its share of scales. */
function bytesOf(unpacking: Unpacking): number {
  if (unpacking.kind === 'composed') {
    const { bits, block } = unpacking;
    return (bits <= 4 ? 0.5 : 1) + 4 / Math.max(block[0] * block[1], SMALLEST);
  }
  const { bits, group, hasLeast } = unpacking.format;
  return bits / 8 + (hasLeast ? 8 : 4) / group;
}

/** Weights of 4 bits in an ONNX file are bytes of two. */
const isPackedWeight = ({ dataType, dims }: TensorProto): boolean =>
  BYTES.has(dataType) && dims.length === 3;
