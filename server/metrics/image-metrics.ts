import type { ImageCounts } from '../../engine/generation/prompts/prompt-maker.js';
import type { MetricRegistry } from './metric-registry.js';

/** What was done with images of prompts; nothing where the model reads text alone. */
export function addImageMetrics(registry: MetricRegistry, images: ImageCounts | undefined): void {
  if (!images) return;
  const { cache } = images;
  registry.readCounter(
    'mm_encoder_runs',
    'Images that were encoded, not found in the cache',
    () => images.runs,
  );
  registry.readCounter(
    'mm_cache_queries',
    'Images that the cache was asked for',
    () => cache.queries,
  );
  registry.readCounter('mm_cache_hits', 'Images that the cache had', () => cache.hits);
  registry.gauge('mm_cache_bytes', 'Bytes of encoded images in the cache', () => cache.bytes);
  registry.gauge(
    'mm_cache_capacity_bytes',
    'Bytes that the cache of encoded images may hold',
    () => cache.capacity,
  );
}
