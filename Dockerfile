# syntax=docker/dockerfile:1

# Builds with everything, ships with what runs.
FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json tsconfig.json tsconfig.build.json ./
COPY kvcache ./kvcache
COPY scheduler ./scheduler
COPY engine ./engine
COPY server ./server
COPY bench/serve ./bench/serve
COPY deploy/keep-runtime.mjs ./deploy/
# What KV events need is installed for tests only, elsewhere: here it stays, in the locked versions.
RUN npm ci && mkdir /kv-events \
  && cp -r --parents node_modules/zeromq node_modules/cmake-ts node_modules/@msgpack /kv-events \
  && npm prune --omit=dev --ignore-scripts && cp -r /kv-events/node_modules . \
  && node deploy/keep-runtime.mjs node_modules

FROM node:24-bookworm-slim
# Weights in huge pages, where the host gives them to those who ask (docs/limits.md, "Of the system").
ENV NODE_ENV=production \
    GLIBC_TUNABLES=glibc.malloc.hugetlb=1 \
    OCTAVO_HOST=0.0.0.0 \
    OCTAVO_PORT=8000 \
    OCTAVO_MODEL_CACHE_DIR=/models/octavo \
    HF_HOME=/models/huggingface
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY models/octavo-tiny ./models/octavo-tiny
# Models that are not built in: docker run -v "$PWD/my-model:/models/my-model:ro" octavo --model /models/my-model
RUN mkdir /models && chown 1000:1000 /models
VOLUME ["/models"]
# The image's user "node", as a number: Kubernetes' runAsNonRoot cannot look names up.
USER 1000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.OCTAVO_PORT}/health`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# The program handles SIGTERM itself; it needs no init in front of it.
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "/app/dist/server/cli.js", "serve"]
