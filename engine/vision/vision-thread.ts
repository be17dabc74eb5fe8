import { workerData } from 'node:worker_threads';
import { serveJobs } from '../job-pool/serve-jobs.js';
import { encodeImage } from './encode-image.js';
import type { VisionResult, VisionThreadData, VisionWork } from './vision-jobs.js';
import { VisionSession } from './vision-session.js';

// Decodes pictures and encodes them.

const { model, threads } = workerData as VisionThreadData;
let session: VisionSession | null = null;

serveJobs<VisionWork, VisionResult>({
  prepare: async () => {
    session ??= await VisionSession.open(model.file, threads);
  },
  run: async ({ bytes }, onMeasured) => {
    if (bytes === null || !session) return null;
    onMeasured(`${bytes.length} bytes`);
    return encodeImage(bytes, model, session);
  },
});
