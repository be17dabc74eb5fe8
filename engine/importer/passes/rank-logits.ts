import type { Graph } from '../graph.js';
import { addInt64s } from '../graph-queries.js';
import { STEP_INPUT as IN, LOGITS, STEP_OUTPUT as OUT } from '../imported-model.js';
import { makeNode } from '../onnx/nodes.js';
import { type NodeProto, TensorProto_DataType as Type } from '../onnx/onnx_pb.js';
import { topInBlocks } from './top-in-blocks.js';

/**
 * Appends to the graph what samplers need instead of all logits, which are megabytes in each step:
 * the largest logits of each row, the sum that turns them into probabilities, and whole rows only
 * where these do not decide (`STEP_OUTPUT`).
 *
 *     logits --> TopK ----------------------------> top logits, top ids
 *        |--> Gather(sum rows) --> Softmax --> p of the largest = 1 / sum
 *        |         `--> mass of the top K < needed mass ? --.
 *        |--> Gather(whole rows + those that do not decide) --> whole rows
 *        `--> GatherElements(target ids) --> logits of given tokens
 *
 * Each part costs nothing for zero rows. Measured for rows of 151,936: TopK 0.09 ms, the sum 0.06
 * ms, copying a row out and searching it in JavaScript 0.35 ms. (ReduceLogSumExp takes 0.5 ms: it
 * is not vectorized in ONNX Runtime 1.30.)
 *
 * @param vocabSize for a device, whose TopK is slow for long rows (`topInBlocks`); absent: the CPU
 */
export function rankLogits(graph: Graph, vocabSize = 0): void {
  const kept = graph.nodes.find(({ input }) => input.includes(IN.sampleRows));
  if (!kept) throw new Error('rows are ranked after keepSampledRows has run');
  addInputs(graph);
  graph.addNodes(
    ...(topInBlocks(graph, vocabSize, TOP_IDS) ?? [topK()]),
    op('Cast', [TOP_IDS], OUT.topIds, { to: Type.INT32 }),
    ...sums(),
    ...fullRows(),
    op('GatherElements', [LOGITS, IN.targetIds], OUT.targetLogits, { axis: 2 }),
    op('Gather', [kept.input[0], IN.hiddenRows], OUT.hidden, { axis: 1 }),
  );
  graph.rewrites.push('ranked the logits: whole rows leave the graph only where they are needed');
}

const TOP_IDS = 'octavo.top_ids_int64';
const FIRST = 'octavo.first';
const LAST = 'octavo.last';
const AXIS = 'octavo.axis';
const FLAT = 'octavo.flat';

function addInputs(graph: Graph): void {
  for (const name of [IN.hiddenRows, IN.topK, IN.targetIds, IN.fullRows, IN.sumRows]) {
    graph.addInput(name, Type.INT64);
  }
  for (const name of [IN.inverseTemperatures, IN.coverMasses, IN.cutoffRatios]) {
    graph.addInput(name, Type.FLOAT);
  }
  addInt64s(graph, FIRST, [0]);
  addInt64s(graph, LAST, [-1]);
  addInt64s(graph, FLAT, [-1]);
  // CumSum requires a scalar for its axis.
  addInt64s(graph, AXIS, [2], []);
}

/**
 * `[1, S, K]` each. Equal logits: the lower id comes first, as the operator's specification says.
 */
function topK(): NodeProto {
  const outputs = [OUT.topLogits, TOP_IDS];
  return makeNode('TopK', 'octavo/TopK', [LOGITS, IN.topK], outputs, { axis: 2 });
}

/**
 * `p` of the largest logit of each sum row at its temperature, `[1, M, 1]`: one over the sum of
 * `exp((logit - largest) / T)`. The largest is subtracted before the division, so that low
 * temperatures cost no precision.
 */
function sums(): NodeProto[] {
  return [
    op('Gather', [OUT.topLogits, FIRST], 'octavo.largest', { axis: 2 }),
    op('Gather', ['octavo.largest', IN.sumRows], 'octavo.sum_largest', { axis: 1 }),
    op('Gather', [LOGITS, IN.sumRows], 'octavo.sum_logits', { axis: 1 }),
    op('Sub', ['octavo.sum_logits', 'octavo.sum_largest'], 'octavo.sum_shifted'),
    op('Mul', ['octavo.sum_shifted', IN.inverseTemperatures], 'octavo.sum_scaled'),
    op('Softmax', ['octavo.sum_scaled'], 'octavo.probabilities', { axis: 2 }),
    op('Gather', [OUT.topIds, FIRST], 'octavo.best_ids', { axis: 2 }),
    op('Gather', ['octavo.best_ids', IN.sumRows], 'octavo.sum_best_ids', { axis: 1 }),
    op(
      'GatherElements',
      ['octavo.probabilities', 'octavo.sum_best_ids'],
      OUT.largestProbabilities,
      { axis: 2 },
    ),
  ];
}

/**
 * Indices of the rows that are returned whole, `[F]`, and these rows, `[1, F, vocabSize]`. The top
 * K of a sum row decide when they have more than the needed mass, or when the last of them is less
 * likely than the first by more than the closing ratio.
 */
function fullRows(): NodeProto[] {
  const names = {
    top: 'octavo.sum_top',
    shifted: 'octavo.top_shifted',
    scaled: 'octavo.top_scaled',
    weights: 'octavo.top_weights',
    cumulated: 'octavo.top_cumulated',
  };
  return [
    op('Gather', [OUT.topLogits, IN.sumRows], names.top, { axis: 1 }),
    op('Sub', [names.top, 'octavo.sum_largest'], names.shifted),
    op('Mul', [names.shifted, IN.inverseTemperatures], names.scaled),
    op('Exp', [names.scaled], names.weights),
    op('CumSum', [names.weights, AXIS], names.cumulated),
    op('Gather', [names.cumulated, LAST], 'octavo.top_sum', { axis: 2 }),
    op('Mul', ['octavo.top_sum', OUT.largestProbabilities], 'octavo.top_mass'),
    op('Gather', [names.weights, LAST], 'octavo.last_ratio', { axis: 2 }),
    op('Greater', ['octavo.top_mass', IN.coverMasses], 'octavo.has_mass'),
    op('Less', ['octavo.last_ratio', IN.cutoffRatios], 'octavo.is_closed'),
    op('Or', ['octavo.has_mass', 'octavo.is_closed'], 'octavo.decided'),
    op('Reshape', ['octavo.decided', FLAT], 'octavo.decided_flat'),
    op('Not', ['octavo.decided_flat'], 'octavo.undecided'),
    op('NonZero', ['octavo.undecided'], 'octavo.undecided_sums'),
    op('Reshape', ['octavo.undecided_sums', FLAT], 'octavo.undecided_flat'),
    op('Gather', [IN.sumRows, 'octavo.undecided_flat'], 'octavo.undecided_rows', { axis: 0 }),
    op('Concat', [IN.fullRows, 'octavo.undecided_rows'], 'octavo.full_rows_int64', { axis: 0 }),
    op('Cast', ['octavo.full_rows_int64'], OUT.fullRows, { to: Type.INT32 }),
    op('Gather', [LOGITS, 'octavo.full_rows_int64'], OUT.fullLogits, { axis: 1 }),
  ];
}

/** A node with one output, which has the node's name. */
function op(
  type: string,
  input: readonly string[],
  output: string,
  attributes: Readonly<Record<string, number>> = {},
): NodeProto {
  return makeNode(type, `octavo/${output}`, input, [output], attributes);
}
