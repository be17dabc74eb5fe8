import { openModel } from '../../engine/model/open-model.js';

// A program: node convert-process.ts <model> <cache directory> <kind> [bytes]. Rewrites a model's
// weights, and is killed when so many bytes of them have been read. Prints the peak of its memory
// in bytes: before, and in all.

const [modelDir, cacheDir, kind, limit = 'Infinity'] = process.argv.slice(2);
const onProgress = (_: string, done: number): void => {
  if (done >= Number(limit)) process.kill(process.pid, 'SIGKILL');
};
const peak = (): number => 1024 * process.resourceUsage().maxRSS;
const before = peak();
const widen = { cacheDir, onProgress };
await openModel({
  modelDir,
  widen,
  ...((kind === 'w8a8' || kind === 'q4') && { quantize: { kind, nbits: false, ...widen } }),
});
process.stdout.write(JSON.stringify([before, peak()]));
