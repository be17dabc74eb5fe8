import { type Static, Type } from 'typebox';
import { Nullable } from '../openai/fields/request-fields.js';

/** Marks the end of a prefix that will be sent again. */
export const CacheControl = Nullable(
  Type.Object({
    type: Type.Literal('ephemeral'),
    ttl: Nullable(Type.Enum(['5m', '1h'])),
  }),
);

const CACHED = { cache_control: CacheControl };

export const TextBlock = Type.Object({
  type: Type.Literal('text'),
  text: Type.String(),
  ...CACHED,
});

/** Read in what the user says; by models of text alone refused. */
export const ImageBlock = Type.Object({
  type: Type.Literal('image'),
  source: Type.Union([
    Type.Object({
      type: Type.Literal('base64'),
      media_type: Type.Enum(['image/jpeg', 'image/png', 'image/gif', 'image/webp']),
      data: Type.String(),
    }),
    Type.Object({ type: Type.Literal('url'), url: Type.String() }),
  ]),
  ...CACHED,
});

/**
 * Blocks that no model here reads. They are in the schema, so that the error can say so of the one
 * that is there.
 */
const UNREAD_TYPES = [
  'bash_code_execution_tool_result',
  'code_execution_tool_result',
  'container_upload',
  'document',
  'mcp_tool_result',
  'mcp_tool_use',
  'search_result',
  'server_tool_use',
  'text_editor_code_execution_tool_result',
  'tool_reference',
  'tool_search_tool_result',
  'web_fetch_tool_result',
  'web_search_tool_result',
] as const;

const UnreadBlock = Type.Object({
  type: Type.Union(UNREAD_TYPES.map((type) => Type.Literal(type))),
});

const ToolResult = Type.Object({
  type: Type.Literal('tool_result'),
  tool_use_id: Type.String({ minLength: 1 }),
  content: Nullable(
    Type.Union([Type.String(), Type.Array(Type.Union([TextBlock, ImageBlock, UnreadBlock]))]),
  ),
  is_error: Nullable(Type.Boolean()),
  ...CACHED,
});

const ToolUse = Type.Object({
  type: Type.Literal('tool_use'),
  id: Type.String({ minLength: 1 }),
  name: Type.String({ minLength: 1 }),
  input: Type.Object({}),
  ...CACHED,
});

const Thinking = Type.Object({
  type: Type.Literal('thinking'),
  thinking: Type.String(),
  signature: Nullable(Type.String()),
});

/** Reasoning that only Anthropic's servers can read. */
const RedactedThinking = Type.Object({
  type: Type.Literal('redacted_thinking'),
  data: Type.String(),
});

const blocksOf = <Blocks extends Parameters<typeof Type.Union>[0]>(blocks: [...Blocks]) =>
  Type.Union([Type.String(), Type.Array(Type.Union(blocks))]);

export const TurnsSchema = Type.Array(
  Type.Union([
    Type.Object({
      role: Type.Literal('user'),
      content: blocksOf([TextBlock, ImageBlock, ToolResult, UnreadBlock]),
    }),
    Type.Object({
      role: Type.Literal('assistant'),
      content: blocksOf([TextBlock, ToolUse, Thinking, RedactedThinking, UnreadBlock]),
    }),
    Type.Object({ role: Type.Literal('system'), content: blocksOf([TextBlock]) }),
  ]),
  { minItems: 1 },
);

export const SystemSchema = Nullable(blocksOf([TextBlock]));

export type Turns = Static<typeof TurnsSchema>;
export type SystemField = Static<typeof SystemSchema>;

export interface Unread {
  readonly type: (typeof UNREAD_TYPES)[number];
}

export type ToolResultBlock = Omit<Static<typeof ToolResult>, 'content'> & {
  readonly content?: string | readonly (Static<typeof TextBlock> | Image | Unread)[] | null;
};

export type Image = Static<typeof ImageBlock>;

/** A block of any role. */
export type Block =
  | Static<typeof TextBlock>
  | Image
  | ToolResultBlock
  | Static<typeof ToolUse>
  | Static<typeof Thinking>
  | Static<typeof RedactedThinking>
  | Unread;

export const isUnread = (block: Block): block is Unread =>
  (UNREAD_TYPES as readonly string[]).includes(block.type);
