/** Outputs that the estimate looks back on. */
const WINDOW = 256;

interface Ended {
  readonly tokens: number;
  /** Stopped by its `max_tokens`: it would have become longer. */
  readonly cut: boolean;
}

/** Where the share of outputs that are longer falls. */
interface Step {
  readonly tokens: number;
  /** From here on. */
  readonly share: number;
  /** Integral of the share, up to here. */
  readonly area: number;
}

/**
 * How long outputs become, learned from those that ended last. An output that was stopped by its
 * own limit says only that it would have been longer, so the share of outputs that reach a length
 * is estimated as Kaplan and Meier do (1958) for lives that were not watched to their end. Requests
 * with other limits, and those that the model ends itself, can then be told apart.
 */
export class OutputLengths {
  /** The oldest first. */
  readonly #ended: Ended[] = [];
  /** Ascending. */
  #steps: Step[] = [];
  #isStale = false;

  /** An output has ended. */
  add(tokens: number, maxTokens: number): void {
    this.#ended.push({ tokens, cut: tokens >= maxTokens });
    if (this.#ended.length > WINDOW) this.#ended.shift();
    this.#isStale = true;
  }

  /** Number of outputs that the estimate rests on. */
  get count(): number {
    return this.#ended.length;
  }

  /**
   * The length that outputs exceed in at most the share `1 - quantile` of all cases.
   *
   * @param tokens that an output has
   * @param quantile more than 0, less than 1
   * @returns more than `tokens`, and `maxTokens` at most
   */
  quantile(tokens: number, maxTokens: number, quantile: number): number {
    const reached = this.#stepAt(tokens).share;
    // As in `remaining`: what has lasted may well last as long again.
    if (reached === 0) return Math.min(maxTokens, 2 * tokens);
    // Shares are products, which are rounded.
    const most = reached * (1 - quantile) + 1e-9;
    const found = this.#steps.find((step) => step.tokens > tokens && step.share <= most);
    return Math.min(maxTokens, found?.tokens ?? maxTokens);
  }

  /**
   * @param tokens that an output has
   * @returns how many more it is expected to get; none beyond `maxTokens`
   */
  remaining(tokens: number, maxTokens: number): number {
    if (tokens >= maxTokens) return 0;
    const { share } = this.#stepAt(tokens);
    // None that ended was so long. What has lasted may well last as long again.
    if (share === 0) return Math.min(maxTokens - tokens, tokens);
    return (this.#areaTo(maxTokens) - this.#areaTo(tokens)) / share;
  }

  /** Integral, from nothing to `tokens`, of the share of outputs that are longer. */
  #areaTo(tokens: number): number {
    const step = this.#stepAt(tokens);
    return step.area + step.share * (tokens - step.tokens);
  }

  /** The last step at or before `tokens`. */
  #stepAt(tokens: number): Step {
    if (this.#isStale) this.#estimate();
    let low = 0;
    let high = this.#steps.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#steps[middle].tokens <= tokens) low = middle + 1;
      else high = middle;
    }
    return this.#steps[low - 1] ?? { tokens: 0, share: 1, area: 0 };
  }

  #estimate(): void {
    // Of equal lengths, the ended before the cut: those that were cut there were still to go on.
    const sorted = [...this.#ended].sort(
      (a, b) => a.tokens - b.tokens || Number(a.cut) - Number(b.cut),
    );
    let [share, area, from] = [1, 0, 0];
    this.#steps = [];
    sorted.forEach(({ tokens, cut }, index) => {
      area += share * (tokens - from);
      from = tokens;
      if (!cut) share *= 1 - 1 / (sorted.length - index);
      this.#steps.push({ tokens, share, area });
    });
    this.#isStale = false;
  }
}
