import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { embeddedModelDir } from '../../../engine/environment/package-root.js';
import { findDraftModel, findDraftModelFor } from '../../../engine/hub/find-draft-model.js';
import { loadTokenizer } from '../../../engine/text/hf-tokenizer.js';
import { differenceOf } from '../../../engine/text/same-tokens.js';
import { modelDir } from '../../support/model-dir.js';

const TINY = embeddedModelDir();
const SILENT = { log: () => undefined, progress: () => undefined };

interface TokenizerJson {
  readonly model: { readonly vocab: Record<string, number> };
  readonly added_tokens: { id: number; content: string; special: boolean }[];
}

/** A directory with octavo-tiny's tokenizer, changed. */
function changedDir(change: (file: TokenizerJson) => void): string {
  const file = JSON.parse(readFileSync(join(TINY, 'tokenizer.json'), 'utf8')) as TokenizerJson;
  change(file);
  return modelDir({ 'tokenizer.json': JSON.stringify(file) });
}

async function changed(change: (file: TokenizerJson) => void): Promise<string | null> {
  return differenceOf(await loadTokenizer(TINY), await loadTokenizer(changedDir(change)));
}

describe('a draft model', () => {
  it('is found like any model, where the setting names one', async () => {
    expect(await findDraftModel(undefined, SILENT)).toBeNull();
    expect(await findDraftModel('{"method":"ngram"}', SILENT)).toBeNull();
    expect(await findDraftModel(JSON.stringify({ model: TINY }), SILENT)).toEqual({ dir: TINY });
    const nowhere = findDraftModel('{"model":"/nowhere"}', SILENT);
    await expect(nowhere).rejects.toThrow('--speculative-config /nowhere: must be the directory');
  });

  it('has the tokens of the model: the first other one is named', async () => {
    const model = async () => ({ tokenizer: await loadTokenizer(TINY) });
    const own = JSON.stringify({ model: TINY });
    expect(await findDraftModelFor(model, own, SILENT)).toEqual({ dir: TINY });
    const dir = changedDir(({ added_tokens: added }) => {
      added.push({ id: 2048, content: '<|more|>', special: true });
    });
    const other = JSON.stringify({ method: 'draft_model', model: dir });
    await expect(findDraftModelFor(model, other, SILENT)).rejects.toThrow(
      /^--speculative-config: the draft model .* has another tokenizer than the model: it has 2049 tokens, not 2048\. It must have the same vocabulary and the same special tokens$/,
    );
  });

  it('differs by an entry, or by which tokens are special', async () => {
    expect(await changed(() => undefined)).toBeNull();
    const entry = await changed(({ model: { vocab } }) => {
      const [[a, first], [b, second]] = Object.entries(vocab).slice(900, 902) as [
        [string, number],
        [string, number],
      ];
      Object.assign(vocab, { [a]: second, [b]: first });
    });
    expect(entry).toMatch(/^token \d+ is ".*", not ".*"$/);
    const special = await changed(({ added_tokens: [first] }) => {
      if (first) first.special = false;
    });
    expect(special).toMatch(/^token 0, ".*", is an added token, not a special token$/);
  });
});
