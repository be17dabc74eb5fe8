import type { Command } from 'commander';
import type { GenerateOptions } from '../commands/generate.js';
import { type NumberFlag, parseNumber } from './number-flag.js';

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

/** Flags of one request, which only `generate` has. */
export function addGenerateFlags(command: Command): void {
  for (const { flag, description } of [MAX_TOKENS, TEMPERATURE, SEED]) {
    command.option(`${flag} <n>`, description);
  }
  command.option('--raw', 'continue the prompt as it stands, without the chat template');
}

/** @throws OctavoError `usage` */
export function generateOptions(options: Record<string, unknown>): GenerateOptions {
  return {
    maxTokens: parseNumber(MAX_TOKENS, options['maxTokens']),
    temperature: parseNumber(TEMPERATURE, options['temperature']),
    seed: parseNumber(SEED, options['seed']),
    raw: options['raw'] === true,
  };
}
