/** What is known of a loaded model that could be unloaded. */
export interface Candidate {
  /** Requests that it works on. */
  readonly uses: number;
  /** When it was last asked for; milliseconds. */
  readonly lastUsedAt: number;
}

/**
 * The model that makes room for another: among those without requests, the one that was not asked
 * for longest. If all have requests, again the one that was not asked for longest: it takes no
 * more, and goes when those have ended, so that a model that is asked for without a pause cannot
 * keep another one out.
 *
 * @returns null when there is none
 */
export function chooseVictim<Model extends Candidate>(loaded: readonly Model[]): Model | null {
  const idle = loaded.filter(({ uses }) => uses === 0);
  const among = idle.length > 0 ? idle : loaded;
  return among.reduce<Model | null>(
    (oldest, model) => (oldest === null || model.lastUsedAt < oldest.lastUsedAt ? model : oldest),
    null,
  );
}
