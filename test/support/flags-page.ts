import { SETTING_GROUPS } from '../../engine/setting-schema.js';
import {
  environmentName,
  flagName,
  isRepeatable,
  listSettings,
  type SettingSchema,
} from '../../server/config/setting-list.js';
import type { SettingName } from '../../server/config/settings.js';

/** Where the documentation says more. */
const MORE: Partial<Record<SettingName, string>> = {
  model: '[models](models.md), [the hub](hub.md)',
  dtype: '[models](models.md)',
  device: '[GPUs](gpu.md)',
  deviceDtype: '[precision](gpu.md#precision)',
  quantize: '[how, and what it costs](quantization.md)',
  calibrate: '[texts](quantization.md#calibration-texts)',
  chatTemplate: '[chat templates](models.md#chat-templates)',
  allowSpecialTokens: '[special tokens in texts](models.md#special-tokens-in-texts)',
  toolCallParser: '[tools](tools.md)',
  evictionPolicy: '[policies](scheduling-and-memory.md#eviction)',
  schedulingPolicy: '[policies](scheduling-and-memory.md#scheduling)',
  speculativeConfig: '[speculation](speculation.md)',
  admissionQuantile: '[admission](scheduling-and-memory.md#admission-by-predicted-memory)',
  fairShareBy: '[shares](scheduling-and-memory.md#fair-shares)',
  kvHostMemory: '[tiers](scheduling-and-memory.md#tiers)',
  kvCacheDir: '[tiers](scheduling-and-memory.md#tiers)',
  kvTier: '[tiers](scheduling-and-memory.md#tiers)',
  warmPrefixes: '[pinned prefixes](scheduling-and-memory.md#pinned-prefixes)',
  kvDtype: '[formats and their errors](attention.md#layout)',
  maxQueuedRequests: '[limits](limits.md)',
  maxQueueTime: '[limits](limits.md)',
  maxUnreadOutput: '[clients that do not read](limits.md#clients-that-do-not-read)',
  allowedHosts: '[names that lead here](../SECURITY.md#names-that-lead-here)',
  disableAnyWhitespace: '[structured output](structured-output.md)',
  rateLimitRequests: '[limits](limits.md)',
  apiKeyFile: '[deploy](../deploy)',
  logPrompts: '[logs](logs-and-traces.md)',
  otlpTracesEndpoint: '[traces](logs-and-traces.md#traces)',
  traceSteps: '[traces of steps](logs-and-traces.md#traces-of-steps)',
  metricsPrefix: '[metrics](metrics.md)',
};

const HEAD = `# Flags

Flags of \`octavo serve\`, as \`octavo serve --help\` groups them. Each has an environment variable: \`--max-num-seqs\` is \`OCTAVO_MAX_NUM_SEQS\`. A flag
wins over its variable; in a variable, the values of a repeatable flag are separated by commas. Sizes are written as \`2GiB\`, \`512MiB\` or a
number of bytes. A variable that begins with \`OCTAVO_\` and is none of these is named in a warning, and has no effect.

The flags marked with * are those of \`octavo generate\` and \`octavo chat\`, too; \`--help\` of these lists what they add.

\`npx vitest run test/server/config/flags-page.test.ts -u\` writes this page from the settings' schema.
`;

/** docs/flags.md, from the schema of the settings. */
export function flagsPage(): string {
  const sections = SETTING_GROUPS.map((group) => {
    const rows = listSettings('all').filter(([, schema]) => schema.group === group);
    return [
      `## ${group}\n`,
      '| flag | default | meaning |',
      '|---|---|---|',
      ...rows.map(([name, schema]) => row(name, schema)),
    ].join('\n');
  });
  const page = [HEAD, ...sections].join('\n').replaceAll('\n## ', '\n\n## ');
  return `${page.replaceAll('\n\n\n', '\n\n')}\n`;
}

function row(name: SettingName, schema: SettingSchema): string {
  const { description, scope } = schema;
  const given = /^(.*?)(?: \(default: (.*)\))?$/.exec(description);
  const isOn = schema.default === true;
  const flag = isOn ? flagName(name).replace('--', '--no-') : flagName(name);
  const value = schema.type === 'boolean' ? '' : ` <${schema.value ?? 'n'}>`;
  const choices = schema.enum ? `: ${schema.enum.map((word) => `\`${word}\``).join(', ')}` : '';
  const repeat = isRepeatable(schema) && !description.includes('repeatable') ? ', repeatable' : '';
  const more = MORE[name] === undefined ? '' : ` (${MORE[name]})`;
  const variable = isOn ? `; \`${environmentName(name)}=false\`` : '';
  const meaning = `${given?.[1] ?? description}${choices}${repeat}${variable}${more}`;
  const mark = scope === 'engine' ? ' \\*' : '';
  return `| \`${flag}${value}\`${mark} | ${given?.[2] ?? defaultOf(name, schema)} | ${meaning.replaceAll('<think>...</think>', '`<think>...</think>`')} |`;
}

function defaultOf(name: SettingName, { type, default: value }: SettingSchema): string {
  // What this machine has.
  if (name === 'threads') return 'all processors';
  if (type === 'boolean' || value === undefined || Array.isArray(value)) return '';
  return `\`${JSON.stringify(value).replaceAll('"', '')}\``;
}
