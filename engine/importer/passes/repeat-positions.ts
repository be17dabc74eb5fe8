import type { Graph } from '../graph.js';
import { addInt64s } from '../graph-queries.js';
import { STEP_INPUT } from '../imported-model.js';
import { makeNode, shapeOf } from '../onnx/nodes.js';

/** The positions of all tokens in three rows; none in graphs that take one. */
export const POSITION_ROWS = `${STEP_INPUT.positionIds}/octavo.rows`;

/** Time, height and width. */
const ROWS = 3;

/**
 * The Qwen-VL family gives each token three positions, `[3, batch, sequence]`: time, height and
 * width. For a text token, all three are its position in the text, so the step's
 * positions are repeated; `takeImages` moves those of images.
 */
export function repeatPositions(graph: Graph): void {
  const positions = STEP_INPUT.positionIds;
  const info = graph.inputs.get(positions);
  const type = info?.type?.value;
  const shape = shapeOf(info);
  if (type?.case !== 'tensorType' || shape?.length !== 3 || shape[0] !== ROWS) return;
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
    makeNode('Concat', POSITION_ROWS, Array<string>(ROWS).fill(row), [POSITION_ROWS], { axis: 0 }),
  );
  graph.rewrites.push(
    'gave each token its position three times (time, height, width), which is right for text',
  );
}
