import type { Decoder, DecoderLayer, FeedForward, Mixer, StateLayer } from './decoder.js';

/** A description in one line, for `octavo inspect`. */
export function summaryOf(decoder: Decoder): string {
  const { family, layers, hiddenSize, embedding, head } = decoder;
  const experts = layers.filter(({ feedForward }) => hasExperts(feedForward)).length;
  const sharing = layers.filter(({ mixers }) => mixers.some(readsOthers)).length;
  const [first] = layers;
  const forward = layers.findLast(({ feedForward }) => feedForward !== null)?.feedForward;
  const parts = [
    `${family}: ${layers.length} layers of width ${hiddenSize}`,
    ...describeStates(layers),
    forward ? describeForward(forward) : '',
    sharing > 0 ? `keys of earlier layers in ${sharing}` : '',
    decoder.streams ? `${decoder.streams.count} vectors for each token` : '',
    decoder.layerInputs ? `a vector of ${decoder.layerInputs.size} for each layer` : '',
    experts > 0 && experts < layers.length ? `experts in ${experts} layers` : '',
    first.parallel ? 'blocks side by side' : '',
    embedding.positions ? 'learned positions' : '',
    head.weight.name === embedding.weight.name ? 'head tied to the embedding' : '',
  ];
  return parts.filter((part) => part !== '').join(', ');
}

const STATES: readonly (readonly [StateLayer['kind'], string])[] = [
  ['gated-convolution', 'short convolutions'],
  ['delta-net', 'gated DeltaNet'],
  ['mamba', 'Mamba 2'],
];

function describeStates(layers: readonly DecoderLayer[]): string[] {
  const countOf = (kind: Mixer['kind']): number =>
    layers.filter(({ mixers }) => mixers.some((mixer) => mixer.kind === kind)).length;
  const states = STATES.filter(([kind]) => countOf(kind) > 0);
  if (states.length === 0) return [];
  const attending = countOf('attention');
  return [
    ...states.map(([kind, what]) => `${what} in ${countOf(kind)}`),
    attending > 0 ? `attention in ${attending}` : 'no attention',
  ];
}

function hasExperts(layer: FeedForward | null): boolean {
  return layer?.kind === 'experts' || layer?.kind === 'mlp-and-experts';
}

function readsOthers(mixer: Mixer): boolean {
  return mixer.kind === 'attention' && mixer.projections.kind === 'query';
}

function describeForward(layer: FeedForward): string {
  if (layer.kind === 'mlp-and-experts') {
    return `${describeForward(layer.mlp)} beside ${describeForward(layer.experts)}`;
  }
  if (layer.kind === 'experts') {
    const { experts, perToken } = layer;
    return `${perToken} of ${experts.length} experts for each token, each a ${describeForward(experts[0])}`;
  }
  if (layer.kind === 'clamped-mlp') {
    return `feed-forward of ${layer.down.weight.shape.at(-1)} with a clamped gate`;
  }
  const { up, activation, gate } = layer;
  const { shape, rows } = up.weight;
  const width = rows?.count ?? (up.turned ? shape[0] : shape[1]);
  return `feed-forward of ${width} with ${typeof activation === 'string' ? activation : activation.kind}${gate ? ' and a gate' : ''}`;
}
