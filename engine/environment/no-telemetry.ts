/**
 * ONNX Runtime's package (1.30, Linux) sends Microsoft what it runs, and keeps a database for it in
 * `~/.cache/Microsoft`, unless this variable is set when its first session is created. Nothing that
 * Octavo starts sends anything by itself, so it is set, unless the operator has set it.
 *
 * Threads have copies of the environment: import this in the process's own thread, before any that
 * computes is started.
 */
process.env['ORT_DISABLE_TELEMETRY'] ??= '1';
