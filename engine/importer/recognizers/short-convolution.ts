import type { ShortConvolution } from '../../recurrent/recurrence.js';
import type { Graph } from '../graph.js';
import type { NodeProto } from '../onnx/onnx_pb.js';
import { constantFloats } from '../probe/constant-floats.js';
import type { RecognizedRecurrence, SiteRecognizer } from './recognizer.js';
import {
  type Allowed,
  checkAttributes,
  nodesOf,
  replaceStateNode,
  stateInputOf,
  stringAttribute,
  unsupportedState,
} from './state-node.js';

const ATTRIBUTES: Allowed = {
  activation: ['none', '', 'silu', 'swish'],
  ndim: [1],
  dilation: [1],
  channels_last: [0],
  state_window: [0],
  state_update_capacity: [0],
  state_channels_last: [-1, 0],
  state_length: [0],
  input_channels: [0],
  input_channel_offset: [0],
};

/**
 * `com.microsoft.CausalConvWithState`: input `[1, channels, T]`, weight `[channels, 1, taps]`,
 * bias, state `[1, channels, taps - 1]`. The layers of LFM2, and a part of those of Mamba and gated
 * DeltaNet.
 */
export class ShortConvolutionRecognizer implements SiteRecognizer {
  readonly form = 'CausalConvWithState';

  async recognize(graph: Graph): Promise<RecognizedRecurrence[]> {
    const sites: RecognizedRecurrence[] = [];
    for (const node of nodesOf(graph, this.form)) {
      checkAttributes(graph, node, ATTRIBUTES);
      stateInputOf(graph, node, node.input[3]);
      const recurrence = await describe(graph, node);
      sites.push(replaceStateNode(graph, node, recurrence, [node.input[0]]));
    }
    return sites;
  }
}

async function describe(graph: Graph, node: NodeProto): Promise<ShortConvolution> {
  const [, weightName, biasName = ''] = node.input;
  const dims = graph.weight(weightName)?.dims.map(Number) ?? [];
  const weight = await constantFloats(graph, weightName);
  const [channels = 0, , taps = 0] = dims;
  if (!weight || dims.length !== 3 || dims[1] !== 1 || taps < 2) {
    const what = `its weight ${weightName} [${dims.join(', ')}] is not a constant of [channels, 1, 2 or more]`;
    throw unsupportedState(graph, node, what);
  }
  const bias = biasName === '' ? null : await constantFloats(graph, biasName);
  if (biasName !== '' && bias?.length !== channels) {
    const what = `its bias ${biasName} is not a constant of [${channels}]`;
    throw unsupportedState(graph, node, what);
  }
  const activation = stringAttribute(node, 'activation', 'none');
  return {
    kind: 'convolution',
    channels,
    taps,
    weight,
    bias,
    activation: activation === 'silu' || activation === 'swish' ? 'silu' : 'none',
  };
}
