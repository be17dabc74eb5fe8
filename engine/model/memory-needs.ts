import type { Decoder } from '../architectures/decoder.js';
import { type CacheDtype, ELEMENT_BYTES } from '../attention/paged-attention.js';
import type { Graph } from '../importer/graph.js';
import { readersOf } from '../importer/graph-queries.js';
import { type TensorProto, TensorProto_DataType as Type } from '../importer/onnx/onnx_pb.js';
import { UNPACK, type Unpacking, unpackingOf } from '../importer/onnx/unpack-node.js';
import { chooseKind } from '../importer/quantize/choose-kind.js';
import { sourceName } from '../importer/quantize/open-source.js';
import type { Quantization, QuantizedKind } from '../importer/quantize/quantization.js';
import { planOf, tensorsOf } from '../importer/quantize/quantize-model.js';
import { groupFor } from '../importer/quantize/round-blocks.js';
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
  /** See `QuantizeScope`. */
  readonly nbits: boolean;
  readonly kvDtype: CacheDtype;
}

const FLOATS: ReadonlySet<number> = new Set([Type.FLOAT, Type.FLOAT16, Type.BFLOAT16, Type.DOUBLE]);

const BYTES: ReadonlySet<number> = new Set([Type.UINT8]);

/** Numbers that share a scale, at least. */
const SMALLEST = 16;

/** @throws OctavoError `model_file_missing`, `model_file_corrupt`, `model_unsupported` */
export async function memoryNeeds(
  files: ModelFiles,
  { quantize, nbits, kvDtype }: NeedsOptions,
): Promise<MemoryNeeds> {
  const graph = await openGraph(files);
  const described = await describedModel(files);
  const numbers = described ? kvNumbers(described.decoder) : pastNumbers(graph);
  return {
    ...weightsOf(graph, await rewrittenBytes(graph, quantize, nbits)),
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

/**
 * What `--quantize` makes of weights: bytes by the names of the tensors that it replaces. `auto`
 * chooses as a start would.
 */
async function rewrittenBytes(
  graph: Graph,
  quantize: Quantization,
  nbits: boolean,
): Promise<ReadonlyMap<string, number>> {
  const bytes = new Map<string, number>();
  if (quantize === 'none') return bytes;
  const chosen = await chooseKind(graph, { kind: quantize, nbits, cacheDir: '' });
  if (!chosen) return bytes;
  const { kind = 'w8a8' } = chosen;
  const { matmuls, embeddings } = planOf(graph, chosen);
  const add = (name: string, more: number): void =>
    void bytes.set(name, (bytes.get(name) ?? 0) + more);
  const seen = new Set<string>();
  for (const { source, inputs, outputs } of matmuls) {
    const name = sourceName(source);
    const size = seen.has(name) ? 0 : outputs * rowBytes(kind, inputs);
    seen.add(name);
    for (const [i, tensor] of tensorsOf(graph, source).entries()) {
      add(tensor.name, i === 0 ? size : 0);
    }
  }
  // An embedding that is tied to the LM head has rows of its own, or is mapped a second time.
  const [tied] = embeddings;
  for (const { tensor } of embeddings) add(tensor.name, 0);
  if (tied) {
    const [rows, columns] = tied.tensor.dims.map(Number);
    add(tied.tensor.name, rows * (kind === 'q4' ? columns / 2 : columns));
  }
  return bytes;
}

/** Of the numbers of one output, and their scales. */
function rowBytes(kind: QuantizedKind, inputs: number): number {
  if (kind === 'w8a8') return inputs + 4;
  const bits = kind === 'q4' ? 4 : 8;
  return (inputs * bits) / 8 + (4 * inputs) / (groupFor(bits, inputs) ?? inputs);
}

function weightsOf(
  graph: Graph,
  rewritten: ReadonlyMap<string, number>,
): Pick<MemoryNeeds, 'parameters' | 'weightBytes'> {
  const readers = readersOf(graph);
  let parameters = 0;
  let weightBytes = [...rewritten.values()].reduce((sum, bytes) => sum + bytes, 0);
  const unpacked = new Set<string>();
  for (const node of graph.nodes) {
    if (node.opType !== UNPACK) continue;
    for (const name of node.input) unpacked.add(name);
    const unpacking = unpackingOf(node);
    const count = unpacking.rows * unpacking.columns;
    parameters += count;
    if (!rewritten.has(node.input[0])) weightBytes += count * bytesOf(unpacking);
  }
  for (const [name, tensor] of graph.initializers) {
    if (unpacked.has(name)) continue;
    const isFloat = FLOATS.has(tensor.dataType);
    const count = tensor.dims.reduce((product, dim) => product * Number(dim), 1);
    if (isFloat) parameters += count;
    else if (isPackedWeight(tensor)) parameters += 2 * count;
    if (rewritten.has(name)) continue;
    const isTable = (readers.get(name) ?? []).every(({ opType }) => opType === 'Gather');
    weightBytes += isFloat && !isTable ? 4 * count : byteLength(tensor);
  }
  return { parameters, weightBytes };
}

/** Of one number of a packed weight, with its share of scales. */
function bytesOf(unpacking: Unpacking): number {
  if (unpacking.kind === 'composed') {
    const { format, bits, block } = unpacking;
    if (format === 'fp8') return 4;
    return (bits <= 4 ? 0.5 : 1) + 4 / Math.max(block[0] * block[1], SMALLEST);
  }
  const { bits, group, hasLeast } = unpacking.format;
  return bits / 8 + (hasLeast ? 8 : 4) / group;
}

/** Weights of 4 bits in an ONNX file are bytes of two. */
const isPackedWeight = ({ dataType, dims }: TensorProto): boolean =>
  BYTES.has(dataType) && dims.length === 3;
