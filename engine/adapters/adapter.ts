/** What an adapter adds to the weight of one module: `B A`, already scaled. */
export interface LowRankUpdate {
  /** Name of the module in the adapter's files, for messages. */
  readonly module: string;
  readonly rank: number;
  readonly inputs: number;
  readonly outputs: number;
  /** `[rank, inputs]` */
  readonly first: Float32Array;
  /** `[outputs, rank]`, times the scale. */
  readonly second: Float32Array;
}

/** An adapter as its files have it. */
export interface Adapter {
  /** Directory, for messages. */
  readonly directory: string;
  /** Equal for equal contents, wherever they lie. */
  readonly contentHash: string;
  /** The model that it was made for, as its configuration names it; null: it names none. */
  readonly baseModel: string | null;
  /** The largest of its modules' ranks. */
  readonly rank: number;
  readonly updates: readonly LowRankUpdate[];
}
