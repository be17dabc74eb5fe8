/** What an encoder makes: a vector of each text, or scores of each text or pair of texts. */
export type EncoderTask = 'embed' | 'score';

/** What makes a score of a logit. */
export type ScoreActivation = 'sigmoid' | 'identity';

/** How the rows of a text become one vector, by sentence-transformers' names. */
export const POOLING_MODES = [
  'cls',
  'max',
  'mean',
  'mean_sqrt_len_tokens',
  'weightedmean',
  'lasttoken',
] as const;

export type PoolingMode = (typeof POOLING_MODES)[number];
