// The library's entry point: `import { createEngine } from 'octavo'`.
export { type ErrorName, OctavoError } from './errors.js';
export type { Message } from './generation/message.js';
export type { Answer } from './library/answer.js';
export { type CreateEngineOptions, createEngine } from './library/create-engine.js';
export type { OctavoEngine } from './library/octavo-engine.js';
export type {
  ChatOptions,
  EmbedOptions,
  GenerateOptions,
  ResponseFormat,
  Several,
} from './library/options.js';
export type {
  AssistantMessage,
  ChatPart,
  ChatResult,
  FinishReason,
  GeneratePart,
  GenerateResult,
  LikelyToken,
  TokenLogprob,
  ToolCall,
  Usage,
} from './library/results.js';
export type { EngineStats } from './protocol/reports.js';
export type { Tool, ToolChoice } from './tools/tool-plan.js';
