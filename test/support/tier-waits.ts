import { LoadTimes } from '../../engine/tiers/load-times.js';
import type { TierWaits } from '../../engine/tiers/tiered-cache.js';

class AlwaysQuicker extends LoadTimes {
  override isQuicker(): boolean {
    return true;
  }
}

/**
 * Sequences load all that a tier has, however slow it is: what a test counts does not depend on the
 * machine.
 */
export function willing(): TierWaits {
  return { patienceMs: 60_000, loadTimes: new AlwaysQuicker() };
}
