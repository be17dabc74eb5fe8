// Layout of two headers of 32-bit words, which the host writes and the kernel reads. ../headers.ts
// has the host's side of it: change both together.

/** Header of a layer: where its pages are and what its attention computes. */
// @ts-ignore: decorator
@inline export const LAYER_KEY_PAGES: usize = 0;
// @ts-ignore: decorator
@inline export const LAYER_VALUE_PAGES: usize = 4;
// @ts-ignore: decorator
@inline export const LAYER_KEY_SCALES: usize = 8;
// @ts-ignore: decorator
@inline export const LAYER_VALUE_SCALES: usize = 12;
// @ts-ignore: decorator
@inline export const LAYER_NUM_HEADS: usize = 16;
// @ts-ignore: decorator
@inline export const LAYER_NUM_KV_HEADS: usize = 20;
// @ts-ignore: decorator
@inline export const LAYER_HEAD_SIZE: usize = 24;
// @ts-ignore: decorator
@inline export const LAYER_BLOCK_SIZE: usize = 28;
// @ts-ignore: decorator
@inline export const LAYER_FORMAT: usize = 32;
// @ts-ignore: decorator
@inline export const LAYER_SCALE: usize = 36;
// @ts-ignore: decorator
@inline export const LAYER_SOFTCAP: usize = 40;
// @ts-ignore: decorator
@inline export const LAYER_WINDOW: usize = 44;
// @ts-ignore: decorator
@inline export const LAYER_SINKS: usize = 48;
// @ts-ignore: decorator
@inline export const LAYER_ALIBI: usize = 52;
// @ts-ignore: decorator
@inline export const LAYER_COS: usize = 56;
// @ts-ignore: decorator
@inline export const LAYER_SIN: usize = 60;
// @ts-ignore: decorator
@inline export const LAYER_ROTARY_DIM: usize = 64;
// @ts-ignore: decorator
@inline export const LAYER_INTERLEAVED: usize = 68;

/** Header of a step: the ragged batch, and the arrays of the layer that is being computed. */
// @ts-ignore: decorator
@inline export const STEP_QUERY_STARTS: usize = 0;
// @ts-ignore: decorator
@inline export const STEP_CONTEXT_LENGTHS: usize = 4;
// @ts-ignore: decorator
@inline export const STEP_BLOCK_TABLES: usize = 8;
// @ts-ignore: decorator
@inline export const STEP_TABLE_STARTS: usize = 12;
// @ts-ignore: decorator
@inline export const STEP_NUM_SEQUENCES: usize = 16;
// @ts-ignore: decorator
@inline export const STEP_QUERY: usize = 20;
// @ts-ignore: decorator
@inline export const STEP_KEY: usize = 24;
// @ts-ignore: decorator
@inline export const STEP_VALUE: usize = 28;
// @ts-ignore: decorator
@inline export const STEP_OUTPUT: usize = 32;
/** Query tiles; plan-layout.ts has their words, and those of tasks and spans. */
// @ts-ignore: decorator
@inline export const STEP_TILES: usize = 36;
// @ts-ignore: decorator
@inline export const STEP_NUM_TASKS: usize = 40;
/** Index of the next free task; atomic. */
// @ts-ignore: decorator
@inline export const STEP_NEXT_TASK: usize = 44;
/** A byte beside each entry of the block tables, 1 where a page is read; no pointer: all are. */
// @ts-ignore: decorator
@inline export const STEP_SELECTION: usize = 48;
/** The last position that each query attends to; no pointer: its own. */
// @ts-ignore: decorator
@inline export const STEP_LAST_SEEN: usize = 52;
/** Tasks, the tiles of each task, and the spans of tiles. */
// @ts-ignore: decorator
@inline export const STEP_TASKS: usize = 56;
// @ts-ignore: decorator
@inline export const STEP_TASK_TILES: usize = 60;
// @ts-ignore: decorator
@inline export const STEP_SPANS: usize = 64;
/** By tile and KV head: tasks that still have to leave states behind for it; atomic. */
// @ts-ignore: decorator
@inline export const STEP_PENDING: usize = 68;
/** States of rows that tasks leave behind. */
// @ts-ignore: decorator
@inline export const STEP_STATES: usize = 72;
/** Bytes from a token's Q, K or V to the next one's; 0: each lies by itself, end to end. */
// @ts-ignore: decorator
@inline export const STEP_TOKEN_BYTES: usize = 76;

// @ts-ignore: decorator
@inline export const FORMAT_F32: i32 = 0;
// @ts-ignore: decorator
@inline export const FORMAT_BF16: i32 = 1;
// @ts-ignore: decorator
@inline export const FORMAT_INT16: i32 = 2;
// @ts-ignore: decorator
@inline export const FORMAT_INT8: i32 = 3;

/** Minimum number of context tokens that are scored before the running softmax is updated. */
// @ts-ignore: decorator
@inline export const TILE_TOKENS: i32 = 128;
/**
 * Tiles of a span. Each span of a context has a softmax of its own, from which those of the whole
 * are then put together.
 */
// @ts-ignore: decorator
@inline export const TILES_PER_SPAN: i32 = 4;
