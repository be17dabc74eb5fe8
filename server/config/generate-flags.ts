import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import type { GenerateOptions } from '../../engine/index.js';
import { type NumberFlag, parseNumber } from './flags.js';

/** What the flags say of the answer, or of a conversation's answers. */
export interface OutputFlags {
  /** How one answer is made. */
  readonly answer: Pick<
    GenerateOptions,
    'maxTokens' | 'temperature' | 'seed' | 'responseFormat' | 'adapter'
  >;
  /** What comes before the prompt, as the chat template's system message; null: nothing. */
  readonly system: string | null;
  /** The prompt is continued as it stands, without the chat template. */
  readonly raw: boolean;
}

const MAX_TOKENS: NumberFlag = {
  flag: '--max-tokens',
  integer: true,
  minimum: 1,
  maximum: 16_777_216,
  description: 'tokens to generate at most (default: what is left of the context)',
};

const TEMPERATURE: NumberFlag = {
  flag: '--temperature',
  integer: false,
  minimum: 0,
  maximum: 2,
  description: "randomness; 0 always takes the likeliest token (default: the model's)",
};

const SEED: NumberFlag = {
  flag: '--seed',
  integer: true,
  minimum: 0,
  maximum: 0xffffffff,
  description: 'the same seed gives the same text (default: a new one)',
};

/** Flags of one request, which only the commands without a server have. */
export function addGenerateFlags(command: Command, kind: 'generate' | 'chat'): void {
  command.optionsGroup(kind === 'chat' ? 'Answers:' : 'Answer:');
  command.option('--system <text>', 'system message: who the model is, what it should do');
  for (const { flag, description } of [MAX_TOKENS, TEMPERATURE, SEED]) {
    command.option(`${flag} <n>`, description);
  }
  command.option(
    '--json-schema <file or JSON>',
    'the answer is JSON that follows this schema: a file, or the schema itself, {...}',
  );
  command.option('--adapter <name>', 'the adapter of --lora that answers (default: none)');
  if (kind === 'chat') return;
  command.option('--raw', 'continue the prompt as it stands, without the chat template');
}

/** @throws OctavoError `usage` */
export function outputFlags(options: Record<string, unknown>): OutputFlags {
  const { system, jsonSchema, adapter } = options;
  const raw = options['raw'] === true;
  if (raw && system !== undefined) {
    throw usage('--system', 'with --raw: a text that is continued has no system message');
  }
  const maxTokens = parseNumber(MAX_TOKENS, options['maxTokens']);
  const temperature = parseNumber(TEMPERATURE, options['temperature']);
  const seed = parseNumber(SEED, options['seed']);
  return {
    answer: {
      ...(maxTokens !== null && { maxTokens }),
      ...(temperature !== null && { temperature }),
      ...(seed !== null && { seed }),
      ...(typeof adapter === 'string' && { adapter }),
      ...(typeof jsonSchema === 'string' && {
        responseFormat: { type: 'json_schema', schema: readSchema(jsonSchema) },
      }),
    },
    system: typeof system === 'string' ? system : null,
    raw,
  };
}

function readSchema(given: string): object | boolean {
  const isFile = !given.trimStart().startsWith('{');
  const schema = parsed(isFile ? readText(given) : given, given);
  if (typeof schema === 'boolean') return schema;
  if (typeof schema === 'object' && schema !== null && !Array.isArray(schema)) return schema;
  throw usage('--json-schema', `${clip(given)}: must be a JSON object, or true or false`);
}

function parsed(source: string, given: string): unknown {
  try {
    return JSON.parse(source) as unknown;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw usage('--json-schema', `${clip(given)}: is not JSON: ${clip(message)}`);
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? 'unknown';
    throw usage(
      '--json-schema',
      `${clip(path)}: cannot be read (${reason}); must be a file, or a schema such as {"type":"object"}`,
    );
  }
}

function usage(flag: string, problem: string): OctavoError {
  return new OctavoError('usage', `${flag} ${problem}`, { param: flag });
}
