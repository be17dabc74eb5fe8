import { expect, test } from 'vitest';
import { flagsPage } from '../../support/flags-page.js';

test('docs/flags.md lists every setting as the schema has it', async () => {
  await expect(flagsPage()).toMatchFileSnapshot('../../../docs/flags.md');
});
