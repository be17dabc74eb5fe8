import type { Config } from '../config.js';
import type { Experts } from '../decoder.js';
import { linear, readActivation } from './parts.js';

export interface ExpertOptions {
  readonly count: number;
  readonly perToken: number;
  readonly normalized: boolean;
  readonly hidden: number;
  /** Width of an expert. */
  readonly inner: number;
  readonly router: string;
  readonly names: { readonly gate: string; readonly up: string; readonly down: string };
}

/**
 * Experts behind a softmax, each with matrices of its own.
 *
 * @returns the experts of a layer, by the path of their weights
 */
export function softmaxExperts(config: Config, options: ExpertOptions): (path: string) => Experts {
  const { count, perToken, normalized, hidden, inner, router, names } = options;
  if (perToken > count) throw config.wrong('num_experts_per_tok', `at most ${count}`);
  const activation = readActivation(config);
  return (path) => ({
    kind: 'experts',
    router: linear(`${path}.${router}`, count, hidden),
    perToken,
    normalized,
    experts: Array.from({ length: count }, (_, expert) => {
      const part = (name: string, outputs: number, inputs: number) =>
        linear(`${path}.experts.${expert}.${name}`, outputs, inputs);
      return {
        kind: 'mlp',
        activation,
        gate: part(names.gate, inner, hidden),
        up: part(names.up, inner, hidden),
        down: part(names.down, hidden, inner),
      };
    }),
  });
}
