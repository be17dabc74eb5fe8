import { Type } from 'typebox';

// How a setting is declared: a TypeBox type with the facts that flags, help and messages need.

/**
 * The commands that take the setting: all that run a model (`engine`), or only `serve` (`server`).
 */
export type Scope = 'engine' | 'server';

/**
 * The order in which `--help` and docs/flags.md show the settings; the settings of a group are
 * declared together.
 */
export const SETTING_GROUPS = [
  'Model',
  'KV cache',
  'Scheduling',
  'HTTP',
  'Limits',
  'Logs, metrics and traces',
  'Configuration',
] as const;

export type SettingGroup = (typeof SETTING_GROUPS)[number];

export interface Extra {
  readonly description: string;
  readonly group: SettingGroup;
  readonly scope: Scope;
  /** Placeholder for the value in `--help`. */
  readonly value?: string;
  /** `bytes` values are written as 2GiB, 512MiB or a plain number. */
  readonly unit?: 'bytes';
  /** Another name of the flag, which help does not show: another server's. */
  readonly alias?: string;
  /** Allowed texts, when the condition is more than not being empty. */
  readonly allowed?: string;
}

export const extra = (options: Extra): Extra => options;

/** A size in bytes. */
export const size = (
  options: Omit<Extra, 'value' | 'unit'>,
  byDefault?: number,
): ReturnType<typeof Type.Integer> =>
  Type.Integer({
    ...extra({ ...options, value: 'size', unit: 'bytes' }),
    minimum: 1,
    maximum: Number.MAX_SAFE_INTEGER,
    ...(byDefault !== undefined && { default: byDefault }),
  });
