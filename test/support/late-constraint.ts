import { CountingConstraint } from './counting-constraint.js';

/**
 * A small grammar whose masks come late when the test says so: to ask for one then would block the
 * engine's thread.
 */
export class LateConstraint extends CountingConstraint {
  readonly #comesLate: (numAccepted: number) => boolean;
  #lateAt = -1;
  #arrivals: (() => void)[] = [];

  /** @param comesLate asked once for each mask; such a mask is there after `arrive` */
  constructor(vocabSize: number, comesLate: (numAccepted: number) => boolean) {
    super(vocabSize);
    this.#comesLate = comesLate;
    this.#begin();
  }

  get isLate(): boolean {
    return this.#lateAt === this.accepted.length;
  }

  override isReady(): boolean {
    return !this.isLate;
  }

  override whenReady(): Promise<void> {
    if (!this.isLate) return Promise.resolve();
    return new Promise((resolve) => this.#arrivals.push(resolve));
  }

  override mask(): Int32Array {
    if (this.isLate) throw new Error('everybody would wait for this mask');
    return super.mask();
  }

  override accept(token: Parameters<CountingConstraint['accept']>[0]): void {
    super.accept(token);
    this.#begin();
  }

  /** The late mask is there. */
  arrive(): void {
    this.#lateAt = -1;
    for (const tell of this.#arrivals.splice(0)) tell();
  }

  #begin(): void {
    if (this.#comesLate(this.accepted.length)) this.#lateAt = this.accepted.length;
  }
}
