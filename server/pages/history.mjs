/** @import { Sample, SampleField } from '../dashboard/sample.js' */

/** Seconds that are kept. */
const KEPT = 900;
/** Milliseconds between two samples that are not next to each other. */
const GAP_MS = 1500;

/** The server's last minutes, a sample each second, as its feed gives them. */
export class History {
  /** @type {Map<SampleField, number>} */
  #places = new Map();
  /** @type {Sample[]} */
  #samples = [];

  /**
   * Forgets everything.
   *
   * @param {readonly SampleField[]} fields what the numbers of a sample are
   */
  begin(fields) {
    this.#places = new Map(fields.map((field, index) => [field, index]));
    this.#samples = [];
  }

  /** @param {readonly Sample[]} samples */
  add(samples) {
    const all = [...this.#samples];
    for (const sample of samples) {
      const last = all.at(-1);
      if (last && this.#isAfterGap(sample, last)) all.push(this.#gapAfter(last));
      all.push(sample);
    }
    this.#samples = all.slice(-KEPT);
  }

  /** The server's clock at the last sample, in milliseconds. */
  get now() {
    return this.last('time') ?? 0;
  }

  /** @param {SampleField} field */
  last(field) {
    const sample = this.#samples.at(-1);
    return sample ? this.#read(sample, field) : null;
  }

  /**
   * Seconds that the samples of the last `seconds` cover: fewer after a start.
   *
   * @param {number} seconds
   */
  covered(seconds) {
    return this.sum('seconds', seconds);
  }

  /**
   * @param {SampleField} field
   * @param {number} seconds
   */
  sum(field, seconds) {
    return this.column(field, seconds).reduce((/** @type {number} */ sum, x) => sum + (x ?? 0), 0);
  }

  /**
   * A second's share of what was counted over the last `seconds`; null before the first sample.
   *
   * @param {SampleField} field
   * @param {number} seconds
   */
  rate(field, seconds) {
    const covered = this.covered(seconds);
    return covered > 0 ? this.sum(field, seconds) / covered : null;
  }

  /**
   * One number for each sample of the last `seconds`, oldest first; null: nothing happened.
   *
   * @param {SampleField} field
   * @param {number} seconds
   * @returns {(number | null)[]}
   */
  column(field, seconds) {
    return this.#since(seconds).map((sample) => this.#read(sample, field));
  }

  /**
   * Likewise, of something that was counted: a second's share.
   *
   * @param {SampleField} field
   * @param {number} seconds
   */
  rates(field, seconds) {
    const spans = this.column('seconds', seconds);
    return this.column(field, seconds).map((value, i) => (value ?? 0) / (spans[i] || 1));
  }

  /**
   * Whether the model was not loaded for a while before a sample.
   *
   * @param {Sample} sample
   * @param {Sample} last the one before it
   */
  #isAfterGap(sample, last) {
    const [time, seconds, before] = [
      this.#read(sample, 'time') ?? 0,
      this.#read(sample, 'seconds') ?? 0,
      this.#read(last, 'time') ?? 0,
    ];
    return time - 1000 * seconds - before > GAP_MS;
  }

  /**
   * A sample in which nothing happened, so that no line is drawn across the gap.
   *
   * @param {Sample} last
   * @returns {Sample}
   */
  #gapAfter(last) {
    const time = this.#places.get('time');
    return last.map((value, place) => (place === time ? value + 1000 : Number.NaN));
  }

  /** @param {number} seconds */
  #since(seconds) {
    const first = this.now - 1000 * seconds;
    const place = this.#samples.findIndex((sample) => (this.#read(sample, 'time') ?? 0) > first);
    return place < 0 ? [] : this.#samples.slice(place);
  }

  /**
   * @param {Sample} sample
   * @param {SampleField} field
   * @returns {number | null}
   */
  #read(sample, field) {
    const place = this.#places.get(field);
    if (place === undefined) throw new Error(`the server's samples have no ${field}`);
    // JSON has no NaN: null comes from the server, and NaN is a gap of ours.
    return Number.isNaN(sample[place]) ? null : sample[place];
  }
}

/**
 * The values of a model at the seconds before now, which are the same for all models; null: it had
 * none.
 *
 * @param {readonly (number | null)[]} times of the values, milliseconds on the server's clock
 * @param {readonly (number | null)[]} values
 * @param {number} now
 * @param {number} seconds
 * @returns {(number | null)[]} oldest first
 */
export function bySecond(times, values, now, seconds) {
  /** @type {(number | null)[]} */
  const slots = Array.from({ length: seconds }, () => null);
  for (const [i, time] of times.entries()) {
    const slot = seconds - 1 - Math.round((now - (time ?? 0)) / 1000);
    if (slot in slots) slots[slot] = values[i];
  }
  // Samples are not taken at whole seconds: two may fall into one and none into the next, and the
  // newest may be on its way.
  return slots.map((value, slot) => {
    const isLast = slot === seconds - 1;
    const goesOn = isLast || (slots[slot + 1] ?? null) !== null;
    return value === null && goesOn ? (slots[slot - 1] ?? null) : value;
  });
}
