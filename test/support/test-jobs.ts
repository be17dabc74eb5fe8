import { OctavoError } from '../../engine/errors.js';
import { serveJobs } from '../../engine/job-pool/serve-jobs.js';

/** Jobs that do what a test of the pool needs. */
export type TestJob =
  | { readonly does: 'echo'; readonly text: string }
  | { readonly does: 'spin'; readonly ms: number }
  | { readonly does: 'fill' }
  | { readonly does: 'refuse' }
  | { readonly does: 'throw' }
  | { readonly does: 'exit' };

function run(job: TestJob, onMeasured: (sizes: string) => void): string {
  switch (job.does) {
    case 'echo':
      return job.text;
    case 'spin': {
      onMeasured(`${job.ms} ms of work`);
      const end = performance.now() + job.ms;
      while (performance.now() < end);
      return 'spun';
    }
    case 'fill': {
      const all: object[] = [];
      for (;;) all.push(Array.from({ length: 1000 }, (_, i) => ({ i })));
    }
    case 'refuse':
      throw new OctavoError('invalid_request', 'the job is refused', { param: 'job' });
    case 'throw':
      throw new TypeError('a bug');
    case 'exit':
      process.exit(0);
  }
}

serveJobs<TestJob, string>({ run });
