/** One of a question's possible answers. */
export interface Option {
  /** What the model reads beside the option's label. */
  readonly text: string;
}

/** A question with closed answers, whichever API it came by. */
export interface Question {
  readonly instructions: string;
  /** At least two, in the client's order. */
  readonly options: readonly Option[];
  /** Field of the request, for errors. */
  readonly param: string;
}

/** How likely each option is, among the options: in their order, with the sum 1. */
export type Distribution = readonly number[];

/** A statement that holds or not. */
export const TRUE_OR_FALSE = ['true', 'false'] as const;

/**
 * Shares of the labels' probabilities.
 *
 * @param logprobs of the labels, in the options' order
 */
export function distributionOf(logprobs: readonly number[]): Distribution {
  const largest = Math.max(...logprobs);
  const weights = logprobs.map((logprob) => Math.exp(logprob - largest));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/** Index of the likeliest option; of equal ones, the first. */
export const likeliest = (shares: Distribution): number => shares.indexOf(Math.max(...shares));

/** The place between levels that the shares say, 0 for the first level. */
export const expectedLevel = (shares: Distribution): number =>
  shares.reduce((sum, share, level) => sum + share * level, 0);

/** 1 when one option has all, 0 when all are equally likely: 1 - entropy / largest entropy. */
export function confidenceOf(shares: Distribution): number {
  const entropy = shares.reduce((sum, p) => (p > 0 ? sum - p * Math.log(p) : sum), 0);
  return Math.min(1, Math.max(0, 1 - entropy / Math.log(shares.length)));
}
