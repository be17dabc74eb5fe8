import { importModel } from '../../engine/importer/import-model.js';

// A program: node quantize-process.ts <model directory> <cache directory>. Prints whether it has
// converted weights itself.

const [modelDir, cacheDir] = process.argv.slice(2);
let converted = false;
const onProgress = (): void => {
  converted = true;
};
const model = await importModel({ modelDir, quantize: { nbits: false, cacheDir, onProgress } });
process.stdout.write(`${JSON.stringify({ converted, vocabSize: model.vocabSize })}\n`);
