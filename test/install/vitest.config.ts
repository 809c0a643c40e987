import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

/** Chart and kustomize bases, with helm and an API server: `make e2e`. */
export default defineConfig({
  root: fileURLToPath(new URL("../..", import.meta.url)),
  test: {
    include: ["test/install/**/*.test.ts"],
    globalSetup: ["test/install/api-server.setup.ts"],
    reporters: ["default", "./test/support/count-reporter.ts"],
    testTimeout: 120_000,
    hookTimeout: 300_000,
    // What is installed is there once in a cluster.
    fileParallelism: false,
  },
});
