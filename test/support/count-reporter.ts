import { writeSync } from "node:fs";
import type { Reporter, TestModule } from "vitest/node";

/** Ends the output with "N passed, N failed, N skipped" alone on a line; a run in which nothing ran has failed. */
export default class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const count = { passed: 0, failed: errors.length, skipped: 0, pending: 0 };
    for (const module of modules) {
      for (const test of module.children.allTests()) count[test.result().state] += 1;
      if (module.errors().length > 0) count.failed += 1;
    }
    const skipped = count.skipped + count.pending;

    process.once("exit", () => {
      if (count.passed + count.failed === 0) process.exitCode = 1;
      writeSync(1, `\n${count.passed} passed, ${count.failed} failed, ${skipped} skipped\n`);
    });
  }
}
