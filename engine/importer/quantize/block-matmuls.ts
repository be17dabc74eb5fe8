import { createHash } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import type { Graph } from '../graph.js';
import { addInt64s, reduceMaxNode, unsqueezeNode } from '../graph-queries.js';
import { importMicrosoft, MICROSOFT, makeNode } from '../onnx/nodes.js';
import {
  type NodeProto,
  TensorProtoSchema,
  TensorProto_DataType as Type,
} from '../onnx/onnx_pb.js';
import { asRows, type BlockedWeight } from './packed-weight.js';
import type { Activations } from './quantization.js';

/** Values of `accuracy_level`: products of floats, or of whole numbers. */
const LEVEL = { floats: 0, integers: 4 } as const;
const LARGEST = 127;

/**
 * Writes the nodes that multiply with weights in blocks, and that look up their rows.
 *
 * ONNX Runtime's quick kernels round activations to 8 bits. Exact ones are multiplied as floats
 * with weights of 4 bits. With weights of 8 bits, it would unpack the whole weight for that in each
 * step, hundreds of times slower; so an activation becomes two rows there: what its rounding keeps,
 * and what it leaves, rounded finer.
 */
export class BlockMatmuls {
  readonly #graph: Graph;
  readonly #isExact: boolean;
  readonly #gone: NodeProto[] = [];
  /** By name: sums of an activation are added once. */
  readonly #added = new Map<string, NodeProto>();

  constructor(graph: Graph, activations: Activations) {
    this.#graph = graph;
    this.#isExact = activations === 'exact';
  }

  keep({ values, scales, offsets, zeroPoints }: BlockedWeight): void {
    for (const tensor of [values, scales, offsets, zeroPoints]) {
      if (tensor) this.#graph.addInitializer(tensor);
    }
  }

  drop(...nodes: readonly NodeProto[]): void {
    this.#gone.push(...nodes);
  }

  /** @param bias tensor that is added to the result; '' for none */
  matmul(node: NodeProto, weight: BlockedWeight, bias = ''): void {
    const { values, scales, offsets, zeroPoints, rows: N, columns: K, group, bits } = weight;
    const x = this.#ordered(node.input[0], weight);
    const [output] = node.output;
    const isSplit = this.#isExact && bits === 8;
    const activation = isSplit ? this.#twoRows(x, K / group, group) : x;
    const inputs = [activation, values.name, scales.name];
    if (zeroPoints) inputs.push(zeroPoints.name);
    const attributes = {
      K,
      N,
      bits,
      block_size: group,
      accuracy_level: this.#isExact && bits === 4 ? LEVEL.floats : LEVEL.integers,
    };
    this.#gone.push(node);
    const unbiased = bias === '' ? output : `${output}/unbiased`;
    const product = offsets ? `${output}/product` : unbiased;
    const whole = isSplit ? `${output}/two_rows` : product;
    this.#contrib('MatMulNBits', node.name, inputs, whole, attributes);
    if (isSplit) this.#joinRows(whole, product);
    if (offsets) {
      const sums = this.#sums(x, K / group, group);
      const offset = `${output}/offset`;
      this.#contrib('FusedMatMul', offset, [sums, offsets.name], offset, { transB: 1 });
      this.#add(makeNode('Add', `${output}/sum`, [product, offset], [unbiased]));
    }
    if (bias !== '') this.#add(makeNode('Add', `${output}/biased`, [unbiased, bias], [output]));
  }

  /** The activation with its inputs in the order of a weight's columns. @returns its name */
  #ordered(x: string, { order }: BlockedWeight): string {
    if (!order) return x;
    const hash = createHash('sha256').update(order).digest('hex').slice(0, 16);
    const list = this.#ints(`octavo.order.${hash}`, [...order]);
    this.#add(
      makeNode('Gather', `${x}/ordered.${hash}`, [x, list], [`${x}/ordered.${hash}`], { axis: -1 }),
    );
    return `${x}/ordered.${hash}`;
  }

  lookUp(node: NodeProto, weight: BlockedWeight): void {
    const { scales, offsets, zeroPoints, columns, group, bits } = weight;
    const table = asRows(weight);
    this.#graph.addInitializer(table);
    const [, ids] = node.input;
    const [output] = node.output;
    const sizes = { bits, block_size: group, gather_axis: 0, quantize_axis: 1 };
    this.#gone.push(node);
    const rows = offsets ? `${output}/rows` : output;
    const inputs = [table.name, ids, scales.name];
    if (zeroPoints) inputs.push(zeroPoints.name);
    this.#contrib('GatherBlockQuantized', node.name, inputs, rows, sizes);
    if (!offsets) return;
    const at = (part: string): string => `${output}/${part}`;
    const inGroups = this.#ints(`octavo.by_token.${columns}.${group}`, [
      0,
      0,
      columns / group,
      group,
    ]);
    const inRows = this.#ints(`octavo.by_token.${columns}`, [0, 0, columns]);
    this.#add(makeNode('Reshape', at('groups'), [rows, inGroups], [at('groups')]));
    this.#add(makeNode('Gather', at('offsets'), [offsets.name, ids], [at('offsets')]));
    const last = this.#ints('octavo.last_axis', [-1]);
    this.#add(makeNode('Unsqueeze', at('column'), [at('offsets'), last], [at('column')]));
    this.#add(makeNode('Add', at('sum'), [at('groups'), at('column')], [at('sum')]));
    this.#add(makeNode('Reshape', at('joined'), [at('sum'), inRows], [output]));
  }

  finish(): void {
    importMicrosoft(this.#graph.model);
    this.#graph.replaceNodes(this.#gone, [...this.#added.values()]);
  }

  /** `[T, groups]`, of `[.., T, groups * group]`. @returns its name */
  #sums(x: string, groups: number, group: number): string {
    const name = `${x}/sums.${group}`;
    const last = this.#ints('octavo.last_axis', [-1]);
    const inputs = [this.#groups(x, groups, group), last];
    this.#add(makeNode('ReduceSum', name, inputs, [name], { keepdims: 0 }));
    return name;
  }

  /** `[T, groups, group]` */
  #groups(x: string, groups: number, group: number): string {
    const shape = this.#ints(`octavo.groups.${groups}.${group}`, [-1, groups, group]);
    return this.#node('Reshape', `${x}/groups.${group}`, [x, shape]);
  }

  /**
   * With a the largest magnitude of a group, s = a / 127 and k = round(x / s): rows `s k`, which
   * the kernel rounds to themselves, and behind them rows `x - s k`. `[2, .., T, K]`
   */
  #twoRows(x: string, groups: number, group: number): string {
    const at = (part: string): string => `${x}/${part}.${group}`;
    const grouped = this.#groups(x, groups, group);
    const last = this.#ints('octavo.last_axis', [-1]);
    const magnitudes = this.#node('Abs', at('magnitudes'), [grouped]);
    const largest = at('largest');
    this.#add(reduceMaxNode(this.#graph, largest, magnitudes, last));
    const step = this.#float('octavo.step', 1 / LARGEST);
    // (A group of zeros has no scale.)
    const least = this.#float('octavo.least', 1e-30);
    const scaled = this.#node('Mul', at('steps'), [largest, step]);
    const scale = this.#node('Max', at('scale'), [scaled, least]);
    const whole = this.#node('Round', at('whole'), [
      this.#node('Div', at('divided'), [grouped, scale]),
    ]);
    const kept = this.#node('Mul', at('kept'), [whole, scale]);
    const left = this.#node('Sub', at('left'), [grouped, kept]);
    const shape = this.#node('Shape', `${x}/shape`, [x]);
    const rows = [kept, left].map((name) => {
      const shaped = this.#node('Reshape', `${name}/as_rows`, [name, shape]);
      return this.#first(shaped, `${name}/apart`);
    });
    this.#add(makeNode('Concat', at('two_rows'), rows, [at('two_rows')], { axis: 0 }));
    return at('two_rows');
  }

  /** With a dimension of 1 before all others. @returns its name */
  #first(x: string, name: string): string {
    this.#add(unsqueezeNode(this.#graph, name, x, this.#ints('octavo.first_axis', [0])));
    return name;
  }

  /** Adds the two rows of each token; of an expert that no token chose, there are none. */
  #joinRows(rows: string, output: string): void {
    const halves = [0, 1].map((index) => {
      const name = `${rows}/${index}`;
      const place = this.#int(`octavo.row.${index}`, index);
      this.#add(makeNode('Gather', name, [rows, place], [name], { axis: 0 }));
      return name;
    });
    this.#add(makeNode('Add', `${rows}/joined`, halves, [output]));
  }

  #node(opType: string, name: string, inputs: readonly string[]): string {
    this.#add(makeNode(opType, name, inputs, [name]));
    return name;
  }

  #float(name: string, value: number): string {
    if (this.#graph.initializer(name)) return name;
    const rawData = new Uint8Array(Float32Array.of(value).buffer);
    const tensor = { name, dims: [], dataType: Type.FLOAT, rawData };
    this.#graph.addInitializer(create(TensorProtoSchema, tensor));
    return name;
  }

  #int(name: string, value: number): string {
    return this.#graph.initializer(name) ? name : addInt64s(this.#graph, name, [value], []);
  }

  #ints(name: string, values: readonly number[]): string {
    return this.#graph.initializer(name) ? name : addInt64s(this.#graph, name, values);
  }

  #contrib(
    opType: string,
    name: string,
    inputs: readonly string[],
    output: string,
    attributes: Readonly<Record<string, number>>,
  ): void {
    const node = makeNode(opType, name, inputs, [output], attributes);
    node.domain = MICROSOFT;
    this.#add(node);
  }

  #add(node: NodeProto): void {
    this.#added.set(node.name, node);
  }
}
