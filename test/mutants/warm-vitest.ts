import { join } from "node:path";
import { createVitest, type TestModule, type Vitest } from "vitest/node";

export interface TestRun {
  /** Names of red tests, and of suites whose hooks are. */
  readonly failed: readonly string[];
  readonly passed: number;
  readonly seconds: number;
}

/** One vitest over a tree whose files change between the runs: its servers are started once, for all of them. */
export class WarmVitest {
  readonly #tree: string;
  readonly #vitest: Vitest;
  /** Of the run under way only: vitest itself hands out those of earlier runs with each result. */
  readonly #ended: TestModule[];

  private constructor(tree: string, vitest: Vitest, ended: TestModule[]) {
    this.#tree = tree;
    this.#vitest = vitest;
    this.#ended = ended;
  }

  static async start(tree: string): Promise<WarmVitest> {
    const ended: TestModule[] = [];
    const collector = { onTestModuleEnd: (module: TestModule) => void ended.push(module) };
    const vitest = await createVitest("test", { root: tree, watch: false, bail: 1, reporters: [collector] });
    await vitest.standalone();
    return new WarmVitest(tree, vitest, ended);
  }

  /** To be told of every file that was written. */
  changed(file: string): void {
    this.#vitest.invalidateFile(join(this.#tree, file));
  }

  /** Runs test files up to the first red test. Throws where one does not even load, or all take longer than `withinMs`. */
  async run(files: readonly string[], withinMs: number): Promise<TestRun> {
    const began = performance.now();
    this.#ended.length = 0;
    const specifications = await this.#vitest.globTestSpecifications([...files]);
    await within(withinMs, files, this.#vitest.runTestSpecifications(specifications));
    const cases = this.#ended.flatMap(({ children }) => [...children.allTests()]);
    return {
      failed: this.#ended.flatMap(redIn),
      passed: cases.filter((test) => test.result().state === "passed").length,
      seconds: (performance.now() - began) / 1000,
    };
  }

  close(): Promise<void> {
    return this.#vitest.close();
  }
}

/** A file that does not even load has no red test: that is a broken mutant, not a caught one. */
function redIn(module: TestModule): string[] {
  const { children, relativeModuleId: file } = module;
  if (module.state() === "failed" && children.size === 0) {
    throw new Error(`${file} does not load: ${module.errors().map(({ message }) => message)[0]}`);
  }
  const red = [...children.allTests("failed")].map(({ fullName }) => fullName);
  const hooks = [...children.allSuites()].filter((suite) => suite.errors().length > 0).map(({ fullName }) => fullName);
  return [...red, ...hooks, ...(module.errors().length > 0 ? [file] : [])];
}

async function within<T>(ms: number, files: readonly string[], run: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`${files.join(" ")} did not end in ${ms / 1000} s`)), ms);
  return Promise.race([run, late.promise]).finally(() => clearTimeout(timer));
}
