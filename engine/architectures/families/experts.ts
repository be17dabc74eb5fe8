import type { Config } from '../config.js';
import type { ClampedMlp, Experts, Mlp, Router } from '../decoder.js';
import { namedMlp } from './llama-layers.js';
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
  /** Scores and their use, where they are not those of a softmax. */
  readonly routing?: (path: string) => Partial<Router>;
  /** By the path of the layer's experts. */
  readonly shared?: (path: string) => Experts['shared'];
}

/**
 * Experts behind a softmax, each with matrices of its own.
 *
 * @returns the experts of a layer, by the path of their weights
 */
export function softmaxExperts(config: Config, options: ExpertOptions): (path: string) => Experts {
  const { hidden, inner, names } = options;
  const activation = readActivation(config);
  return expertsOf(config, options, (path, expert) =>
    namedMlp(`${path}.experts.${expert}`, { hidden, inner }, activation, names),
  );
}

/** @param mlpOf an expert of a layer, by the layer's path */
export function expertsOf(
  config: Config,
  options: Omit<ExpertOptions, 'inner' | 'names'>,
  mlpOf: (path: string, expert: number) => Mlp | ClampedMlp,
): (path: string) => Experts {
  const { count, perToken, normalized, hidden, router, routing, shared } = options;
  if (perToken > count) throw config.wrong('num_experts_per_tok', `at most ${count}`);
  return (path) => ({
    kind: 'experts',
    router: {
      linear: linear(`${path}.${router}`, count, hidden),
      scores: 'softmax',
      choiceBias: null,
      normalized: normalized ? { epsilon: 0 } : null,
      scale: 1,
      ...routing?.(path),
    },
    perToken,
    experts: Array.from({ length: count }, (_, expert) => mlpOf(path, expert)),
    shared: shared?.(path) ?? null,
    latent: null,
  });
}
