import { OctavoError } from '../errors.js';
import { makeValueInfo } from './onnx/nodes.js';
import type {
  ModelProto,
  NodeProto,
  TensorProto,
  TensorProto_DataType,
  ValueInfoProto,
} from './onnx/onnx_pb.js';

/**
 * A model's graph as passes see it: which node produces a tensor, and what is constant. Passes
 * change it only through its methods, which keep these answers right.
 */
export class Graph {
  readonly file: string;
  readonly model: ModelProto;
  readonly initializers: ReadonlyMap<string, TensorProto>;
  readonly inputs: Map<string, ValueInfoProto>;
  readonly outputs: ReadonlyMap<string, ValueInfoProto>;
  /** What passes did, one line each, for reports. */
  readonly rewrites: string[] = [];
  readonly #added = new Map<string, TensorProto>();
  readonly #stated: ReadonlyMap<string, ValueInfoProto>;
  #nodes: readonly NodeProto[] = [];
  #producers = new Map<string, NodeProto>();
  #constants = new Set<string>();

  /**
   * @param file for messages
   * @throws OctavoError `model_file_corrupt` when a tensor has no producer or two, or nodes form a
   *   cycle
   */
  constructor(model: ModelProto, file: string) {
    const graph = model.graph;
    if (!graph) throw new Error('a model without a graph');
    this.file = file;
    this.model = model;
    this.initializers = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
    // Old exporters list initializers among the inputs.
    const inputs = graph.input.filter((input) => !this.initializers.has(input.name));
    this.inputs = new Map(inputs.map((input) => [input.name, input]));
    this.outputs = new Map(graph.output.map((output) => [output.name, output]));
    this.#stated = new Map(graph.valueInfo.map((info) => [info.name, info]));
    this.#setNodes(graph.node);
  }

  /** In topological order. */
  get nodes(): readonly NodeProto[] {
    return this.#nodes;
  }

  /**
   * The node that produces a tensor; undefined for inputs, initializers and names without a
   * producer.
   */
  producer(tensor: string): NodeProto | undefined {
    return this.#producers.get(tensor);
  }

  initializer(name: string): TensorProto | undefined {
    return this.initializers.get(name) ?? this.#added.get(name);
  }

  /** A weight as it is in the file, whether a node reads it directly or through a Cast. */
  weight(name: string): TensorProto | undefined {
    const cast = this.producer(name);
    return this.initializer(cast?.opType === 'Cast' ? cast.input[0] : name);
  }

  /** The model's own initializers, and those that passes have added. */
  allInitializers(): TensorProto[] {
    return [...this.initializers.values(), ...this.#added.values()];
  }

  /** All places that state a type; passes that change types edit them here. */
  statedTypes(): ValueInfoProto[] {
    return [...this.inputs.values(), ...this.outputs.values(), ...this.#stated.values()];
  }

  /** The type that the model states for a tensor between nodes; undefined if it states none. */
  stated(tensor: string): ValueInfoProto | undefined {
    return this.#stated.get(tensor) ?? this.outputs.get(tensor);
  }

  /** True when a tensor depends on no input of the graph. */
  isConstant(tensor: string): boolean {
    return this.#constants.has(tensor);
  }

  addInitializer(tensor: TensorProto): void {
    this.#added.set(tensor.name, tensor);
  }

  /** Adds an input that nodes added later may read. */
  addInput(name: string, elementType: TensorProto_DataType): void {
    this.inputs.set(name, makeValueInfo(name, elementType));
  }

  /** Adds nodes in any order; the topological order is computed again. */
  addNodes(...nodes: NodeProto[]): void {
    this.#setNodes([...this.#nodes, ...nodes]);
  }

  /**
   * Before the next change, readers of their outputs must be given another source or be removed,
   * too.
   */
  removeNodes(...gone: readonly NodeProto[]): void {
    this.#setNodes(this.#nodes.filter((node) => !gone.includes(node)));
  }

  /**
   * Replaces nodes by others that produce the same tensors. Both happen in one change, because in
   * between these tensors would have no producer.
   */
  replaceNodes(gone: readonly NodeProto[], added: readonly NodeProto[]): void {
    const removed = new Set(gone);
    this.#setNodes([...this.#nodes.filter((node) => !removed.has(node)), ...added]);
  }

  #setNodes(nodes: readonly NodeProto[]): void {
    this.#nodes = this.#sorted(nodes);
    this.#producers = new Map();
    this.#constants = new Set(['', ...this.initializers.keys(), ...this.#added.keys()]);
    for (const node of this.#nodes) {
      // (Tensors that branches of an If capture from outside are not seen; a live If is refused.)
      const constant = node.input.every((name) => this.#constants.has(name));
      for (const output of node.output.filter((name) => name !== '')) {
        this.#producers.set(output, node);
        if (constant) this.#constants.add(output);
      }
    }
  }

  #sorted(nodes: readonly NodeProto[]): NodeProto[] {
    const known = new Set([
      '',
      ...this.initializers.keys(),
      ...this.inputs.keys(),
      ...this.#added.keys(),
    ]);
    const makers = new Map<string, NodeProto>();
    for (const node of nodes) {
      for (const output of node.output.filter((name) => name !== '')) {
        if (makers.has(output) || known.has(output)) {
          throw this.#corrupt(`node ${node.name} makes ${output}, which something else makes too`);
        }
        makers.set(output, node);
      }
    }
    const sorted: NodeProto[] = [];
    const state = new Map<NodeProto, 'open' | 'done'>();
    // Depth first with an explicit stack: a deep model must not overflow the call stack.
    for (const root of nodes) {
      const stack = [root];
      while (stack.length > 0) {
        const node = stack[stack.length - 1];
        if (state.get(node) === 'done') {
          stack.pop();
          continue;
        }
        const missing = node.input.filter((name) => !known.has(name));
        if (missing.length === 0) {
          for (const output of node.output) known.add(output);
          sorted.push(node);
          state.set(node, 'done');
          stack.pop();
          continue;
        }
        if (state.get(node) === 'open')
          throw this.#corrupt(`the nodes around ${node.name} form a cycle`);
        state.set(node, 'open');
        for (const name of missing) {
          const maker = makers.get(name);
          if (!maker) throw this.#corrupt(`node ${node.name} reads ${name}, which nothing makes`);
          stack.push(maker);
        }
      }
    }
    return sorted;
  }

  #corrupt(what: string): OctavoError {
    return new OctavoError('model_file_corrupt', `${this.file}: ${what}`);
  }
}
