import type { Graph } from '../graph.js';
import { addInt64s } from '../graph-queries.js';
import { STEP_INPUT } from '../imported-model.js';
import { makeNode, shapeOf } from '../onnx/nodes.js';

/** Time, height and width. */
const ROWS = 3;

/**
 * The Qwen-VL family gives each token three positions, `[3, batch, sequence]`: time, height and
 * width. For a text token, all three are its position in the text. Only text is served, so the
 * step's positions are repeated.
 */
export function repeatPositions(graph: Graph): void {
  const positions = STEP_INPUT.positionIds;
  const info = graph.inputs.get(positions);
  const type = info?.type?.value;
  const shape = shapeOf(info);
  if (type?.case !== 'tensorType' || shape?.length !== 3 || shape[0] !== ROWS) return;
  type.value.shape?.dim.shift();
  const row = `${positions}/octavo.row`;
  const rows = `${positions}/octavo.rows`;
  for (const node of graph.nodes) {
    node.input.forEach((name, index) => {
      if (name === positions) node.input[index] = rows;
    });
  }
  addInt64s(graph, `${row}.dims`, [1, 1, -1]);
  graph.addNodes(
    makeNode('Reshape', row, [positions, `${row}.dims`], [row]),
    makeNode('Concat', rows, Array<string>(ROWS).fill(row), [rows], { axis: 0 }),
  );
  graph.rewrites.push(
    'gave each token its position three times (time, height, width), which is right for text',
  );
}
