import { type Extra, type Scope, SETTING_GROUPS } from '../../engine/setting-schema.js';
import { type SettingName, SettingsSchema } from './settings.js';

/** The parts of a setting's schema that flags and help are made of. */
export interface SettingSchema extends Extra {
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly default?: unknown;
}

/** Whether the value can be given several times. */
export function isRepeatable(schema: Pick<SettingSchema, 'type'>): boolean {
  return schema.type === 'array';
}

/** By group: all settings, or those that `generate` and others without a server take too. */
export function listSettings(scope: Scope | 'all'): [SettingName, SettingSchema][] {
  const all = Object.entries(SettingsSchema.properties) as unknown as [
    SettingName,
    SettingSchema,
  ][];
  const place = ([, { group }]: [SettingName, SettingSchema]): number =>
    SETTING_GROUPS.indexOf(group);
  return all
    .filter(([, schema]) => scope === 'all' || schema.scope === scope)
    .sort((a, b) => place(a) - place(b));
}

const kebab = (name: string): string => name.replaceAll(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);

export function flagName(name: SettingName): string {
  return `--${kebab(name)}`;
}

export function environmentName(name: SettingName): string {
  return `OCTAVO_${kebab(name).replaceAll('-', '_').toUpperCase()}`;
}
