/** @import { Sample, SampleField } from '../dashboard/sample.js' */

/** Seconds that are kept. */
const KEPT = 900;

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
    this.#samples = [...this.#samples, ...samples].slice(-KEPT);
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
    return sample[place];
  }
}
