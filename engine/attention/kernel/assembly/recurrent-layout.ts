// Layout of the header of a layer with a state, of 32-bit words. engine/recurrent/kernel-headers.ts
// has the host's side of it: change both together.

/** Words of both kinds. */
// @ts-ignore: decorator
@inline export const RECURRENT_IS_CONVOLUTION: usize = 0;
// @ts-ignore: decorator
@inline export const RECURRENT_STATE: usize = 4;
/** Tokens to take in: the first one, their number, and that of all tokens in the arrays. */
// @ts-ignore: decorator
@inline export const RECURRENT_FIRST: usize = 8;
// @ts-ignore: decorator
@inline export const RECURRENT_COUNT: usize = 12;
// @ts-ignore: decorator
@inline export const RECURRENT_TOTAL: usize = 16;
// @ts-ignore: decorator
@inline export const RECURRENT_NUM_TASKS: usize = 20;
/** Index of the next free task; atomic. */
// @ts-ignore: decorator
@inline export const RECURRENT_NEXT_TASK: usize = 24;

// @ts-ignore: decorator
@inline export const CONVOLUTION_INPUT: usize = 32;
// @ts-ignore: decorator
@inline export const CONVOLUTION_OUTPUT: usize = 36;
// @ts-ignore: decorator
@inline export const CONVOLUTION_WEIGHT: usize = 40;
/** 0: none. */
// @ts-ignore: decorator
@inline export const CONVOLUTION_BIAS: usize = 44;
// @ts-ignore: decorator
@inline export const CONVOLUTION_CHANNELS: usize = 48;
// @ts-ignore: decorator
@inline export const CONVOLUTION_TAPS: usize = 52;
// @ts-ignore: decorator
@inline export const CONVOLUTION_SILU: usize = 56;

// @ts-ignore: decorator
@inline export const ATTENTION_QUERY: usize = 32;
// @ts-ignore: decorator
@inline export const ATTENTION_KEY: usize = 36;
// @ts-ignore: decorator
@inline export const ATTENTION_VALUE: usize = 40;
/** Factors of the state: exponentials of decays, or a single 1. */
// @ts-ignore: decorator
@inline export const ATTENTION_FACTORS: usize = 44;
/** Bytes between the factors of two tokens, two heads, two rows of a state. */
// @ts-ignore: decorator
@inline export const ATTENTION_FACTOR_TOKEN: usize = 48;
// @ts-ignore: decorator
@inline export const ATTENTION_FACTOR_HEAD: usize = 52;
// @ts-ignore: decorator
@inline export const ATTENTION_FACTOR_ROW: usize = 56;
/** 0: no delta rule. */
// @ts-ignore: decorator
@inline export const ATTENTION_RATES: usize = 60;
/** Bytes between the rates of two tokens, two heads. */
// @ts-ignore: decorator
@inline export const ATTENTION_RATE_TOKEN: usize = 64;
// @ts-ignore: decorator
@inline export const ATTENTION_RATE_HEAD: usize = 68;
// @ts-ignore: decorator
@inline export const ATTENTION_OUTPUT: usize = 72;
// @ts-ignore: decorator
@inline export const ATTENTION_NUM_HEADS: usize = 76;
// @ts-ignore: decorator
@inline export const ATTENTION_NUM_QUERY_HEADS: usize = 80;
// @ts-ignore: decorator
@inline export const ATTENTION_NUM_KEY_HEADS: usize = 84;
// @ts-ignore: decorator
@inline export const ATTENTION_KEY_SIZE: usize = 88;
// @ts-ignore: decorator
@inline export const ATTENTION_VALUE_SIZE: usize = 92;
// @ts-ignore: decorator
@inline export const ATTENTION_SCALE: usize = 96;

/** Channels of a convolution in one task. */
// @ts-ignore: decorator
@inline export const TASK_CHANNELS: i32 = 64;
