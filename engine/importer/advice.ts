/** The exporter that writes the most in single operators. */
export const BUILDER_ADVICE =
  'the model builder of onnxruntime-genai 0.12.2 or 0.18 (python -m onnxruntime_genai.models.builder -p fp32 -e cpu)';

/**
 * Exporters whose files are served. The versions are those that made the fixtures in
 * test/fixtures/exports.
 */
export const EXPORT_ADVICE =
  'Optimum 2.1 (optimum-cli export onnx --task text-generation-with-past), mobius 0.1 (mobius build) or ' +
  BUILDER_ADVICE;
