import { create } from '@bufbuild/protobuf';
import type { LayerPages } from '../../attention/page-layout.js';
import type { RotaryEmbedding } from '../../attention/paged-attention.js';
import { toFloat16 } from '../../float16.js';
import type { Graph } from '../graph.js';
import { addInt64s } from '../graph-queries.js';
import { type AttentionSite, STEP_INPUT } from '../imported-model.js';
import { MICROSOFT, makeNode, setFloatAttribute } from '../onnx/nodes.js';
import {
  type NodeProto,
  TensorProtoSchema,
  TensorProto_DataType as Type,
} from '../onnx/onnx_pb.js';
import { DEVICE_INPUT as IN } from './device-inputs.js';

/**
 * Nodes that compute what an attention node did, by `com.microsoft.PagedAttention` over a cache in
 * float16 (Kwon et al. 2023, SOSP):
 *
 *     q, k, v [1, T, H * D] -> Reshape [T, H * D] -> Cast -> PagedAttention -> Cast -> Reshape
 *
 * The operator takes cache and batch as inputs of the graph (`DEVICE_INPUT`). Its outputs for the
 * cache are left out: it then writes its inputs in place.
 */
export class PagedAttentionNodes {
  readonly #graph: Graph;
  /** Tables of rotation by content: layers have equal ones. */
  readonly #tables: {
    readonly values: Float32Array;
    readonly type: Type;
    readonly name: string;
  }[] = [];

  constructor(graph: Graph) {
    this.#graph = graph;
  }

  /** @returns nodes whose last one makes the site's output */
  of(site: AttentionSite, { slot, group }: LayerPages): NodeProto[] {
    const { numHeads, numKvHeads, headSize, rotary, sinks, slidingWindow, scale } = site;
    if (site.key === null || site.value === null) throw new Error(`${site.node} has no keys`);
    const base = `octavo.layer.${site.layer}`;
    const nodes: NodeProto[] = [];
    const inNode = rotary !== null && (rotary.dim / 2) % 8 === 0;
    const rows = (name: string, role: string, heads: number, isRotated: boolean): string => {
      const rotated =
        isRotated && rotary && !inNode
          ? this.#rotate(nodes, name, `${base}.${role}`, heads, site)
          : name;
      // The operator needs the width as a constant.
      const to = addInt64s(this.#graph, `${base}.${role}.to`, [-1, heads * headSize]);
      const flat = `${base}.${role}.rows`;
      nodes.push(makeNode('Reshape', flat, [rotated, to], [flat]));
      nodes.push(makeNode('Cast', `${flat}.half`, [flat], [`${flat}.half`], { to: Type.FLOAT16 }));
      return `${flat}.half`;
    };
    const table = (values: Float32Array): string =>
      this.#table(values, (rotary as RotaryEmbedding).dim / 2, Type.FLOAT16);
    const inputs = [
      rows(site.query, 'query', numHeads, true),
      rows(site.key, 'key', numKvHeads, true),
      rows(site.value, 'value', numKvHeads, false),
      IN.keyCache(slot),
      IN.valueCache(slot),
      IN.queryStarts,
      IN.pastLengths,
      IN.blockTable(group),
      ...(rotary && inNode ? [table(rotary.cos), table(rotary.sin)] : ['', '']),
      '',
      sinks ? this.#halves(`${base}.sinks`, sinks, [sinks.length]) : '',
      '',
      '',
      '',
      '',
      IN.batchSizes,
    ];
    const out = `${base}.attended`;
    const node = makeNode('PagedAttention', base, inputs, [out], {
      num_heads: numHeads,
      kv_num_heads: numKvHeads,
      ...(slidingWindow > 0 && { local_window_size: slidingWindow }),
      ...(rotary && inNode && { do_rotary: 1, rotary_interleaved: rotary.interleaved ? 1 : 0 }),
    });
    node.domain = MICROSOFT;
    setFloatAttribute(node, 'scale', scale);
    const back = addInt64s(this.#graph, `${base}.back`, [1, -1, numHeads * headSize]);
    nodes.push(
      node,
      makeNode('Cast', `${out}.float`, [out], [`${out}.float`], { to: Type.FLOAT }),
      makeNode('Reshape', `${out}.row`, [`${out}.float`, back], [site.output]),
    );
    return nodes;
  }

  /**
   * Rotates before the operator, in float32, where its own rotation takes no table of that width.
   *
   * @returns the rotated tensor, `[1, T, heads * headSize]`
   */
  #rotate(
    nodes: NodeProto[],
    name: string,
    base: string,
    heads: number,
    { headSize, rotary }: AttentionSite,
  ): string {
    const { dim, interleaved, cos, sin } = rotary as RotaryEmbedding;
    const tables = [cos, sin].map((values) => this.#table(values, dim / 2, Type.FLOAT));
    const rotated = `${base}.rotated`;
    const node = makeNode(
      'RotaryEmbedding',
      rotated,
      [name, STEP_INPUT.positionIds, ...tables],
      [rotated],
      {
        interleaved: interleaved ? 1 : 0,
        num_heads: heads,
        ...(dim < headSize && { rotary_embedding_dim: dim }),
      },
    );
    node.domain = MICROSOFT;
    nodes.push(node);
    return rotated;
  }

  #table(values: Float32Array, width: number, type: Type.FLOAT | Type.FLOAT16): string {
    const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
    const known = this.#tables.find(
      (table) =>
        table.type === type &&
        bytes.equals(
          Buffer.from(table.values.buffer, table.values.byteOffset, table.values.byteLength),
        ),
    );
    if (known) return known.name;
    const name = `octavo.rotary.${this.#tables.length}`;
    const dims = [values.length / width, width];
    if (type === Type.FLOAT16) this.#halves(name, values, dims);
    else this.#weight(name, Type.FLOAT, dims, Uint8Array.from(bytes));
    this.#tables.push({ values, type, name });
    return name;
  }

  #halves(name: string, values: Float32Array, dims: readonly number[]): string {
    const bits = Uint16Array.from(values, toFloat16);
    return this.#weight(name, Type.FLOAT16, dims, new Uint8Array(bits.buffer));
  }

  #weight(name: string, dataType: Type, dims: readonly number[], rawData: Uint8Array): string {
    this.#graph.addInitializer(
      create(TensorProtoSchema, { name, dataType, dims: dims.map(BigInt), rawData }),
    );
    return name;
  }
}
