// Records of 32-bit words in which the host says what is to be computed, and in which tasks;
// ../attention-plan.ts writes them: change both together.

/** A query tile: queries of one sequence. */
// @ts-ignore: decorator
@inline export const TILE_SEQUENCE: usize = 0;
// @ts-ignore: decorator
@inline export const TILE_FIRST_QUERY: usize = 4;
// @ts-ignore: decorator
@inline export const TILE_NUM_QUERIES: usize = 8;
/** Index of the first of its spans, or `NO_SPANS`: one task computes all of the tile. */
// @ts-ignore: decorator
@inline export const TILE_SPANS: usize = 12;
// @ts-ignore: decorator
@inline export const TILE_BYTES: usize = 16;
// @ts-ignore: decorator
@inline export const NO_SPANS: i32 = -1;

/** A span of a tile: the block before which a task has computed it; 0: none has. */
// @ts-ignore: decorator
@inline export const SPAN_DONE: usize = 0;
/** Index of the state of the tile's first row that this task leaves behind for KV head 0. */
// @ts-ignore: decorator
@inline export const SPAN_STATES: usize = 4;
/** Rows of this task: so many states further are those for the next KV head. */
// @ts-ignore: decorator
@inline export const SPAN_ROWS: usize = 8;
// @ts-ignore: decorator
@inline export const SPAN_BYTES: usize = 12;

/** A task: the tiles `first` to `first + count - 1` of the list, for one KV head. */
// @ts-ignore: decorator
@inline export const TASK_FIRST: usize = 0;
// @ts-ignore: decorator
@inline export const TASK_COUNT: usize = 4;
// @ts-ignore: decorator
@inline export const TASK_HEAD: usize = 8;
/** The blocks of one span that it computes; an end of 0: all of its one tile. */
// @ts-ignore: decorator
@inline export const TASK_BEGIN: usize = 12;
// @ts-ignore: decorator
@inline export const TASK_END: usize = 16;
/** Index of the state of its first row. */
// @ts-ignore: decorator
@inline export const TASK_STATES: usize = 20;
// @ts-ignore: decorator
@inline export const TASK_BYTES: usize = 24;
