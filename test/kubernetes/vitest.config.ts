import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

/** What needs a Kubernetes API server: `make e2e`. */
export default defineConfig({
  root: fileURLToPath(new URL("../..", import.meta.url)),
  test: {
    include: ["test/kubernetes/**/*.test.ts"],
    globalSetup: ["test/kubernetes/control-plane.setup.ts"],
    reporters: ["default", "./test/support/count-reporter.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
  },
});
