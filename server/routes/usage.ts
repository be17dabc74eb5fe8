import { Type } from 'typebox';
import type { KeyTable } from '../keys/key-table.js';
import { type Counts, type KeyUsage, NO_USAGE, sumBy, type UsageRow } from '../keys/key-usage.js';
import type { TypedApp } from './typed-app.js';

const Day = Type.Optional(Type.String({ pattern: '^\\d{4}-\\d{2}-\\d{2}$' }));

/** Days in UTC, both included; absent: all that are kept. */
const UsageQuery = Type.Object({ from: Day, to: Day });

/**
 * What each key has used. A key without the scope `metrics` sees its own usage only.
 *
 * @param keys those that have used nothing are shown, too
 */
export function addUsageRoute(app: TypedApp, keys: KeyTable, usage: KeyUsage): void {
  app.get('/v1/usage', { schema: { querystring: UsageQuery } }, async ({ query, key }) => {
    const { from = '', to = '9999' } = query;
    const seesAll = key === null || key.scopes.includes('metrics');
    const isSeen = (name: string): boolean => seesAll || name === key.name;
    const rows = usage.rows.filter((row) => isSeen(row.key) && row.day >= from && row.day <= to);
    const names = new Set([...keys.all, ...rows.map((row) => ({ name: row.key }))].map(nameOf));
    const data = [...names].filter(isSeen).map((name) => {
      const own = rows.filter((row) => row.key === name);
      const [total] = sumBy(own, nameOfKey).values();
      const head = { object: 'usage' as const, key: name };
      const models = byName(own, ({ model }) => model);
      const days = byName(own, ({ day }) => day);
      return Object.assign(head, shown(total ?? NO_USAGE), { models, days });
    });
    return { object: 'list', data };
  });
}

const nameOf = ({ name }: { readonly name: string }): string => name;

const nameOfKey = ({ key }: UsageRow): string => key;

function byName(rows: readonly UsageRow[], part: (row: UsageRow) => string) {
  const sums = [...sumBy(rows, part)].sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(sums.map(([name, counts]) => [name, shown(counts)]));
}

function shown({ requests, failed, promptTokens, cachedTokens, completionTokens }: Counts) {
  return {
    requests,
    failed_requests: failed,
    prompt_tokens: promptTokens,
    cached_tokens: cachedTokens,
    completion_tokens: completionTokens,
  };
}
