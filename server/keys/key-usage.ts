/** What requests have used. */
export interface Counts {
  requests: number;
  /** Of those, refused, failed or left by their clients. */
  failed: number;
  promptTokens: number;
  /** Of those, taken from the prefix cache. */
  cachedTokens: number;
  completionTokens: number;
}

/** What a request has used, and of which model. */
export type UsedTokens = Readonly<
  Pick<Counts, 'promptTokens' | 'cachedTokens' | 'completionTokens'>
> & {
  readonly model: string;
};

/** The usage of one key, on one day, of one model. */
export interface UsageRow extends Counts {
  readonly key: string;
  /** In UTC: 2026-12-01. */
  readonly day: string;
  readonly model: string;
}

/** Days that are kept. */
const DAYS = 92;

/** Models of one key on one day, then all others are counted together. */
const MODELS_OF_A_DAY = 50;

const OTHER_MODELS = 'other';

export const NO_USAGE: Counts = {
  requests: 0,
  failed: 0,
  promptTokens: 0,
  cachedTokens: 0,
  completionTokens: 0,
};

/** What each key has used, by day and model. Days that are too old are dropped when one begins. */
export class KeyUsage {
  readonly #today: () => string;
  /** By key and day, then by model. */
  readonly #rows = new Map<string, Map<string, UsageRow>>();
  /** By key, since the process began: they never decrease. */
  readonly totals = new Map<string, Counts>();
  #isChanged = false;
  #lastDay = '';

  /** @param unixSeconds the time; days are those of UTC */
  constructor(unixSeconds: () => number, rows: readonly UsageRow[] = []) {
    this.#today = () => dayOf(unixSeconds());
    for (const row of rows) this.#rowsOf(row.key, row.day).set(row.model, { ...row });
  }

  /** A request of a key has ended. */
  note(key: string, record: UsedTokens, isFailed: boolean): void {
    const day = this.#today();
    if (day !== this.#lastDay) this.#dropOld(day);
    this.#lastDay = day;
    const rows = this.#rowsOf(key, day);
    const isKnown = rows.has(record.model) || rows.size < MODELS_OF_A_DAY;
    const model = isKnown ? record.model : OTHER_MODELS;
    const row = rows.get(model) ?? { key, day, model, ...NO_USAGE };
    rows.set(model, row);
    const used = { ...record, requests: 1, failed: isFailed ? 1 : 0 };
    add(row, used);
    const total = this.totals.get(key) ?? { ...NO_USAGE };
    this.totals.set(key, total);
    add(total, used);
    this.#isChanged = true;
  }

  get rows(): UsageRow[] {
    return Array.from(this.#rows.values(), (rows) => Array.from(rows.values())).flat();
  }

  /** Whether there is something new since this was last asked. */
  takeChanged(): boolean {
    const isChanged = this.#isChanged;
    this.#isChanged = false;
    return isChanged;
  }

  /** What `takeChanged` told of was not kept. */
  putBackChanged(): void {
    this.#isChanged = true;
  }

  #rowsOf(key: string, day: string): Map<string, UsageRow> {
    const id = `${day} ${key}`;
    const rows = this.#rows.get(id) ?? new Map<string, UsageRow>();
    this.#rows.set(id, rows);
    return rows;
  }

  #dropOld(day: string): void {
    const first = dayOf(Date.parse(day) / 1000 - (DAYS - 1) * 86_400);
    for (const id of this.#rows.keys()) if (id.slice(0, 10) < first) this.#rows.delete(id);
  }
}

const dayOf = (unixSeconds: number): string =>
  new Date(unixSeconds * 1000).toISOString().slice(0, 10);

function add(sum: Counts, more: Counts): void {
  for (const name of Object.keys(NO_USAGE) as (keyof Counts)[]) sum[name] += more[name];
}

/** @param part by which rows are put together */
export function sumBy(
  rows: readonly UsageRow[],
  part: (row: UsageRow) => string,
): ReadonlyMap<string, Counts> {
  const sums = new Map<string, Counts>();
  for (const row of rows) {
    const sum = sums.get(part(row)) ?? { ...NO_USAGE };
    sums.set(part(row), sum);
    add(sum, row);
  }
  return sums;
}
