import type { Graph } from '../graph.js';
import { addInt64s } from '../graph-queries.js';
import { STEP_INPUT } from '../imported-model.js';
import { makeNode, shapeOf } from '../onnx/nodes.js';
import type { TensorShapeProto_Dimension } from '../onnx/onnx_pb.js';
import { EMBEDS } from '../parts/join-embedding.js';

/** The positions of all tokens in three rows; none in graphs that take one. */
export const POSITION_ROWS = `${STEP_INPUT.positionIds}/octavo.rows`;

/**
 * The Qwen-VL family gives each token three positions, `[3, batch, sequence]`: time, height and
 * width. For a text token, all three are its position in the text, so the step's
 * positions are repeated; `takeImages` moves those of images. (transformers 5's exporter writes
 * whole graphs with four rows: the position in the text comes first.)
 */
export function repeatPositions(graph: Graph): void {
  const positions = STEP_INPUT.positionIds;
  const info = graph.inputs.get(positions);
  const type = info?.type?.value;
  if (type?.case !== 'tensorType' || shapeOf(info)?.length !== 3) return;
  const rows = rowsOf(type.value.shape?.dim[0]);
  if (rows !== 3 && (rows !== 4 || graph.producer(EMBEDS))) return;
  type.value.shape?.dim.shift();
  const row = `${positions}/octavo.row`;
  for (const node of graph.nodes) {
    node.input.forEach((name, index) => {
      if (name === positions) node.input[index] = POSITION_ROWS;
    });
  }
  addInt64s(graph, `${row}.dims`, [1, 1, -1]);
  graph.addNodes(
    makeNode('Reshape', row, [positions, `${row}.dims`], [row]),
    makeNode('Concat', POSITION_ROWS, Array<string>(rows).fill(row), [POSITION_ROWS], { axis: 0 }),
  );
  graph.rewrites.push(
    `gave each token its position ${rows === 3 ? 'three' : 'four'} times (time, height, width), which is right for text`,
  );
}

/** A size, which transformers 5 writes as a name: '4'. */
function rowsOf(dim: TensorShapeProto_Dimension | undefined): number | null {
  return dim?.value.case === undefined ? null : Number(dim.value.value);
}
