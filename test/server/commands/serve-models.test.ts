import { expect, it } from 'vitest';
import { assertOfOneModel } from '../../../server/commands/serve-models.js';
import { loadSettings } from '../../../server/config/load-settings.js';

const SEVERAL = ['one', 'two'];

it.each([{ lora: ['sql=./sql'] }, { enableLora: true }, { allowRuntimeLoraUpdating: true }])(
  'adapters are for one model: %j',
  (flags) => {
    const settings = { ...loadSettings({}, {}), ...flags };
    expect(() => assertOfOneModel(settings, SEVERAL)).toThrow(
      expect.objectContaining({
        kind: 'usage',
        message: expect.stringMatching(/^--lora, --enable-lora and .* several models$/) as string,
      }),
    );
    const modelsDir = { ...settings, modelsDir: '/models' };
    expect(() => assertOfOneModel(modelsDir, ['one'])).toThrow('several models');
    expect(() => assertOfOneModel(settings, ['one'])).not.toThrow();
  },
);
