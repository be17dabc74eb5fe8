import type { Decoder, FeedForward } from './decoder.js';

/** A description in one line, for `octavo inspect`. */
export function summaryOf(decoder: Decoder): string {
  const { family, layers, hiddenSize, embedding, head } = decoder;
  const experts = layers.filter(({ feedForward }) => feedForward.kind === 'experts').length;
  const [first] = layers;
  const parts = [
    `${family}: ${layers.length} layers of width ${hiddenSize}`,
    describeForward(layers.at(-1)?.feedForward ?? first.feedForward),
    experts > 0 && experts < layers.length ? `experts in ${experts} layers` : '',
    first.parallel ? 'blocks side by side' : '',
    embedding.positions ? 'learned positions' : '',
    head.weight.name === embedding.weight.name ? 'head tied to the embedding' : '',
  ];
  return parts.filter((part) => part !== '').join(', ');
}

function describeForward(layer: FeedForward): string {
  if (layer.kind === 'experts') {
    const { experts, perToken } = layer;
    return `${perToken} of ${experts.length} experts for each token, each a ${describeForward(experts[0])}`;
  }
  const { up, activation, gate } = layer;
  const { shape, rows } = up.weight;
  const width = rows?.count ?? (up.turned ? shape[0] : shape[1]);
  return `feed-forward of ${width} with ${typeof activation === 'string' ? activation : activation.kind}${gate ? ' and a gate' : ''}`;
}
