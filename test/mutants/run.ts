import { execFileSync, spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { type Mutant, mutants } from "./mutants.ts";

/**
 * `make mutants`: breaks a copy of the source in one place at a time and runs the tests that must notice. A mutant that
 * survives, that does not apply any more, or whose tests are red without it, fails the run.
 * `node test/mutants/run.ts WORD…` runs those whose name holds one of the words.
 */
const root = resolve(import.meta.dirname, "../..");
const WITHIN_MS = 240_000;

interface TestRun {
  readonly failed: readonly string[];
  readonly passed: number;
  readonly seconds: number;
}

const words = process.argv.slice(2);
const chosen = mutants.filter(({ name }) => words.length === 0 || words.some((word) => name.includes(word)));
const say = (line: string) => process.stdout.write(`${line}\n`);

const tree = copyOfTree();
try {
  process.exitCode = (await runAll()) ? 0 : 1;
} finally {
  rmSync(tree, { recursive: true, force: true });
}

async function runAll(): Promise<boolean> {
  for (const mutant of chosen) apply(mutant, () => undefined);
  const clean = await runTests([...new Set(chosen.flatMap(({ tests }) => tests))], 0);
  if (clean.failed.length > 0 || clean.passed === 0) {
    say(`Without any mutant, ${clean.passed} tests pass and these are red: ${clean.failed.join("; ") || "none"}`);
    return false;
  }
  say(`Without any mutant, all ${clean.passed} tests are green (${clean.seconds.toFixed(0)} s)\n`);
  say(`${"MUTANT".padEnd(72)} ${"SECONDS".padStart(7)}  CAUGHT BY`);

  let survived = 0;
  for (const mutant of chosen) {
    const { failed, seconds } = await apply(mutant, () => runTests(mutant.tests, 1));
    if (failed.length === 0) survived += 1;
    say(`${mutant.name.padEnd(72)} ${seconds.toFixed(0).padStart(7)}  ${failed[0] ?? "NOTHING: it survived"}`);
  }
  say(`\n${chosen.length - survived} of ${chosen.length} mutants caught`);
  return survived === 0 && chosen.length > 0;
}

/** Runs `work` with the mutant in place. Throws where its text is not found exactly once. */
function apply<T>({ name, file, search, replace }: Mutant, work: () => T): T {
  const path = join(tree, file);
  const source = readFileSync(path, "utf8");
  const occurrences = source.split(search).length - 1;
  if (occurrences !== 1) throw new Error(`Mutant "${name}": its text occurs ${occurrences} times in ${file}, not once`);
  writeFileSync(
    path,
    source.replace(search, () => replace),
  );
  const restore = () => writeFileSync(path, source);
  const result = work();
  if (result instanceof Promise) return result.finally(restore) as T;
  restore();
  return result;
}

/** Everything git knows or would add, and the installed packages by a link. */
function copyOfTree(): string {
  const copy = mkdtempSync(join(tmpdir(), "audit-pipeline-mutants-"));
  const list = execFileSync("git", ["ls-files", "-co", "--exclude-standard", "-z"], { cwd: root, encoding: "utf8" });
  for (const file of list.split("\0").filter((name) => name !== "" && existsSync(join(root, name)))) {
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    cpSync(join(root, file), join(copy, file));
  }
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
  return copy;
}

interface JsonReport {
  readonly testResults: readonly {
    readonly name: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

/** A file that does not even load has no red test: that is a broken mutant, not a caught one. */
async function runTests(files: readonly string[], bail: number): Promise<TestRun> {
  const report = join(tree, "report.json");
  rmSync(report, { force: true });
  const began = performance.now();
  const args = ["run", ...files, "--reporter=json", `--outputFile=${report}`, `--bail=${bail}`];
  await vitest(args);
  const seconds = (performance.now() - began) / 1000;
  if (!existsSync(report)) throw new Error(`vitest ${args.join(" ")} wrote no report within ${WITHIN_MS / 1000} s`);

  const { testResults } = JSON.parse(readFileSync(report, "utf8")) as JsonReport;
  const tests = testResults.flatMap(({ assertionResults }) => assertionResults);
  const names = (status: string) =>
    tests.filter((test) => test.status === status).map(({ fullName }) => fullName.trim());
  return { failed: names("failed"), passed: names("passed").length, seconds };
}

function vitest(args: readonly string[]): Promise<void> {
  const main = join(root, "node_modules/vitest/vitest.mjs");
  return new Promise((done, reject) => {
    const child = spawn(process.execPath, [main, ...args], { cwd: tree, stdio: "ignore", timeout: WITHIN_MS });
    child.once("error", reject);
    child.once("exit", () => done());
  });
}
