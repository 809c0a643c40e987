import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

/** What needs a whole cluster: `make e2e`, which runs this in namespaces of its own. */
export default defineConfig({
  root: fileURLToPath(new URL("../..", import.meta.url)),
  test: {
    include: ["test/e2e/**/*.test.ts"],
    globalSetup: ["test/e2e/install.setup.ts"],
    reporters: ["default", "./test/support/count-reporter.ts"],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // One cluster, one node, one operator.
    fileParallelism: false,
  },
});
