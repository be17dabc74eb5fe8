import type { Graph } from '../graph.js';
import { type ImageInputs, STEP_INPUT } from '../imported-model.js';
import { makeNode } from '../onnx/nodes.js';
import { TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import { EMBEDS } from '../parts/join-embedding.js';
import { POSITION_ROWS } from './repeat-positions.js';

/**
 * Lets a step put rows of its own in the place of tokens' embeddings, where images are, and move
 * the three positions of tokens (time, height, width) away from their place in the text:
 *
 *     token ids -> [embedding] -> ScatterND(., rows, image rows) -> inputs_embeds -> [decoder]
 *
 * @param width of the hidden states; null when the graph does not state it
 * @returns null for a graph whose embedding was not joined in front of it
 */
export function takeImages(graph: Graph, width: number | null): ImageInputs | null {
  const maker = graph.producer(EMBEDS);
  if (!maker || width === null) return null;
  graph.addInput(STEP_INPUT.imageRows, Type.INT64);
  graph.addInput(STEP_INPUT.imageEmbeds, Type.FLOAT);
  const text = `${EMBEDS}/octavo.text`;
  const inputs = [text, STEP_INPUT.imageRows, STEP_INPUT.imageEmbeds];
  graph.replaceNodes(
    [maker],
    [{ ...maker, output: [text] }, makeNode('ScatterND', 'octavo.images', inputs, [EMBEDS])],
  );
  const positions = graph.producer(POSITION_ROWS);
  if (positions) {
    graph.addInput(STEP_INPUT.positionShifts, Type.INT64);
    const rows = `${POSITION_ROWS}/octavo.text`;
    const shifted = makeNode(
      'Add',
      'octavo.positions',
      [rows, STEP_INPUT.positionShifts],
      [POSITION_ROWS],
    );
    graph.replaceNodes([positions], [{ ...positions, output: [rows] }, shifted]);
  }
  graph.rewrites.push('took rows of images in the place of tokens');
  return { width, hasPositions: positions !== undefined };
}
