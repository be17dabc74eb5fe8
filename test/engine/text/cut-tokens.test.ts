import { describe, expect, it } from 'vitest';
import { cutPair, cutTokens } from '../../../engine/text/cut-tokens.js';
import { Component } from '../../../engine/text/tokenizer/component.js';
import { readFrame } from '../../../engine/text/tokenizer/post-processor.js';
import type { TokenId } from '../../../scheduler/ids.js';

const ids = (...values: number[]): TokenId[] => values as TokenId[];

describe('cutTokens', () => {
  it('cuts the end of the text, not the special tokens behind it', () => {
    const frame = { before: [1], after: [2] };
    expect(cutTokens(ids(1, 7, 8, 9, 2), 4, frame)).toEqual([1, 7, 8, 2]);
    expect(cutTokens(ids(1, 7, 2), 4, frame)).toEqual([1, 7, 2]);
    expect(cutTokens(ids(7, 8, 9), 2)).toEqual([7, 8]);
  });
});

describe('cutPair', () => {
  // As the tokenizers library's `longest_first` does.
  it.each([
    [3, 4, 10, [3, 4]],
    [3, 20, 10, [3, 7]],
    [20, 3, 10, [7, 3]],
    [20, 30, 11, [5, 6]],
    [30, 20, 11, [6, 5]],
    [9, 9, 10, [5, 5]],
  ])('of %i and %i tokens keeps at most %i', (first, second, limit, kept) => {
    expect(cutPair(first, second, limit)).toEqual(kept);
  });
});

describe('special tokens of pairs', () => {
  const frameOf = (json: object) => readFrame(new Component(json, 'test'));

  it("are BERT's, whose second text is of type 1", () => {
    const { pair } = frameOf({ type: 'BertProcessing', cls: ['[CLS]', 1], sep: ['[SEP]', 2] });
    expect(pair).toEqual({ before: [1], between: [2], after: [2], secondType: 1 });
  });

  it("are RoBERTa's, with two between and one type", () => {
    const { pair } = frameOf({ type: 'RobertaProcessing', cls: ['<s>', 1], sep: ['</s>', 2] });
    expect(pair).toEqual({ before: [1], between: [2, 2], after: [2], secondType: null });
  });

  const special = (id: string, type = 0) => ({ SpecialToken: { id, type_id: type } });
  const text = (id: string, type = 0) => ({ Sequence: { id, type_id: type } });
  const template = (pair: object[]) =>
    frameOf({
      type: 'TemplateProcessing',
      single: [special('s'), text('A')],
      pair,
      special_tokens: { s: { ids: [1] }, e: { ids: [2, 3] } },
    }).pair;

  it("are a template's", () => {
    const plain = [special('s'), text('A'), special('e'), text('B', 1), special('e', 1)];
    expect(template(plain)).toEqual({
      before: [1],
      between: [2, 3],
      after: [2, 3],
      secondType: 2,
    });
    const early = [text('A'), special('e', 1), text('B', 1)];
    expect(template(early)).toEqual({ before: [], between: [2, 3], after: [], secondType: 0 });
  });

  it.each([
    ['the texts change places', [text('B'), text('A')]],
    ['there is one text', [special('s'), text('A')]],
    ['types go back', [text('A'), text('B', 1), special('e')]],
  ])('are none where %s', (_, pair) => {
    expect(template(pair)).toBeNull();
  });
});
