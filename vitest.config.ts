import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["{crds,operator,sink,hack,test}/**/*.test.ts"],
    // These need an API server: make e2e.
    exclude: ["**/node_modules/**", "test/kubernetes/**", "test/install/**", "test/e2e/**"],
    globalSetup: ["test/support/global-setup.ts"],
    reporters: ["default", "./test/support/count-reporter.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
  },
});
