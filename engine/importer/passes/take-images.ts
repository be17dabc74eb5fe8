import type { Graph } from '../graph.js';
import { addInt64s } from '../graph-queries.js';
import { type ImageInputs, STEP_INPUT } from '../imported-model.js';
import { makeNode, setStringAttribute } from '../onnx/nodes.js';
import { type NodeProto, TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import { deepstackPlaces } from '../parts/deepstack.js';
import { EMBEDS } from '../parts/join-embedding.js';
import { POSITION_ROWS } from './repeat-positions.js';

/**
 * Lets a step put rows of its own in the place of tokens' embeddings, where images are, and move
 * the three positions of tokens (time, height, width) away from their place in the text:
 *
 *     token ids -> [embedding] -> ScatterND(., rows, image rows) -> inputs_embeds -> [decoder]
 *
 * Where the decoder has places for further features of images (`setDeepstackAside`), these are
 * added there to the same rows.
 *
 * @param width of the hidden states; null when the graph does not state it
 * @returns null for a graph whose embedding was not joined in front of it, or which is of an
 *   operator set that cannot add to single rows
 */
export function takeImages(graph: Graph, width: number | null): ImageInputs | null {
  const maker = graph.producer(EMBEDS);
  const places = deepstackPlaces(graph);
  const canAdd = places.length === 0 || operatorSet(graph) >= SCATTER_ADDS;
  if (!maker || width === null || !canAdd) return null;
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
  if (places.length > 0) graph.addInput(STEP_INPUT.deepstackEmbeds, Type.FLOAT);
  for (const [index, place] of places.entries()) addFeatures(graph, place, index);
  graph.rewrites.push('took rows of images in the place of tokens');
  return { width, hasPositions: positions !== undefined, numDeepstack: places.length };
}

/** Operator set since which ScatterND may add. */
const SCATTER_ADDS = 16;

function operatorSet(graph: Graph): number {
  const own = graph.model.opsetImport.find(({ domain }) => domain === '' || domain === 'ai.onnx');
  return Number(own?.version ?? 0);
}

/** @param place an Identity of hidden states `[1, T, width]` */
function addFeatures(graph: Graph, place: NodeProto, index: number): void {
  const { name, input, output } = place;
  const features = `${name}.features`;
  const layer = addInt64s(graph, `${name}.layer`, [index], []);
  const sum = makeNode('ScatterND', name, [input[0], STEP_INPUT.imageRows, features], output);
  setStringAttribute(sum, 'reduction', 'add');
  graph.replaceNodes(
    [place],
    [
      makeNode('Gather', features, [STEP_INPUT.deepstackEmbeds, layer], [features], { axis: 0 }),
      sum,
    ],
  );
}
