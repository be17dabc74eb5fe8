import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { FAMILIES } from '../../engine/architectures/families/index.js';
import { checkpointNames } from '../support/checkpoint-fixtures.js';

const text = readFileSync(new URL('../../docs/models.md', import.meta.url), 'utf8');
const EXPORTS = new URL('../fixtures/exports/models/', import.meta.url);

const named = [...text.matchAll(/`([a-z0-9.-]+\/[a-z0-9.-]+)`/g)].map(([, name]) => name);

describe('docs/models.md', () => {
  it('names models and tests that exist', () => {
    expect(named.length).toBeGreaterThan(30);
    expect(named.filter((name) => !existsSync(new URL(name, EXPORTS)))).toEqual([]);
    const tests = [...text.matchAll(/`(test\/[^`]+)`/g)].map(([, path]) => path);
    const absent = tests.filter((path) => !existsSync(new URL(`../../${path}`, import.meta.url)));
    expect(absent).toEqual([]);
  });

  it('names every tokenizer and chat template that is compared', () => {
    const fixtures = [
      ...readdirSync(new URL('../fixtures/tokenizers/tokenizers/', import.meta.url)),
      ...readdirSync(new URL('../fixtures/chat-templates/templates/', import.meta.url)),
    ].map((file) => file.replace(/\.(json|jinja)$/, ''));
    expect(fixtures.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
  });

  it('names every family that is built, and every checkpoint that proves one', () => {
    const names = [...FAMILIES.keys(), ...checkpointNames()];
    expect(names.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
  });

  it('leaves no proof out', () => {
    const all = readdirSync(EXPORTS).flatMap((exporter) =>
      readdirSync(new URL(exporter, EXPORTS)).map((family) => `${exporter}/${family}`),
    );
    expect([...new Set(named)].sort()).toEqual(all.sort());
  });
});
