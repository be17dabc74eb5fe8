import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { clip } from '../../engine/clip.js';
import { OctavoError } from '../../engine/errors.js';
import type { GrammarSpec } from '../../engine/protocol/request.js';
import { type NumberFlag, parseNumber } from './flags.js';

/** How one answer is made, as far as the flags say. */
export interface AnswerOptions {
  readonly maxTokens: number | null;
  readonly temperature: number | null;
  /** Null: another one each time. */
  readonly seed: number | null;
  /** What the text must follow; null: nothing. */
  readonly grammar: GrammarSpec | null;
}

/** What the flags say of the answer, or of a conversation's answers. */
export interface GenerateOptions extends AnswerOptions {
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
  if (kind === 'chat') return;
  command.option('--raw', 'continue the prompt as it stands, without the chat template');
}

/** @throws OctavoError `usage` */
export function generateOptions(options: Record<string, unknown>): GenerateOptions {
  const { system, jsonSchema } = options;
  const raw = options['raw'] === true;
  if (raw && system !== undefined) {
    throw usage('--system', 'with --raw: a text that is continued has no system message');
  }
  return {
    system: typeof system === 'string' ? system : null,
    maxTokens: parseNumber(MAX_TOKENS, options['maxTokens']),
    temperature: parseNumber(TEMPERATURE, options['temperature']),
    seed: parseNumber(SEED, options['seed']),
    grammar: typeof jsonSchema === 'string' ? readSchema(jsonSchema) : null,
    raw,
  };
}

function readSchema(given: string): GrammarSpec {
  const isFile = !given.trimStart().startsWith('{');
  const source = isFile ? readText(given) : given;
  try {
    JSON.parse(source);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw usage('--json-schema', `${clip(given)}: is not JSON: ${clip(message)}`);
  }
  return { kind: 'json-schema', source };
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
