import { execFileSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { type Mutant, mutants } from "./mutants.ts";
import { WarmVitest } from "./warm-vitest.ts";

/**
 * `make mutants`: breaks a copy of the source in one place at a time and runs the tests that must notice. A mutant that
 * survives, that does not apply any more, or whose tests are red without it, fails the run.
 * `node test/mutants/run.ts WORD…` runs those whose name holds one of the words.
 */
const root = resolve(import.meta.dirname, "../..");
const MUTANT_WITHIN_MS = 300_000;
const ALL_WITHIN_MS = 1_200_000;

const words = process.argv.slice(2);
const chosen = mutants.filter(({ name }) => words.length === 0 || words.some((word) => name.includes(word)));
const say = (line: string) => process.stdout.write(`${line}\n`);

const tree = copyOfTree();
let everyOneCaught = false;
try {
  for (const mutant of chosen) await apply(mutant, async () => undefined);
  const vitest = await WarmVitest.start(tree);
  everyOneCaught = await runAll(vitest).finally(() => vitest.close());
} finally {
  rmSync(tree, { recursive: true, force: true });
}
// A test that hangs, as a mutant can make it, is not waited for.
process.exit(everyOneCaught ? 0 : 1);

async function runAll(vitest: WarmVitest): Promise<boolean> {
  const began = performance.now();
  const clean = await vitest.run([...new Set(chosen.flatMap(({ tests }) => tests))], ALL_WITHIN_MS);
  if (clean.failed.length > 0 || clean.passed === 0) {
    say(`Without any mutant, ${clean.passed} tests pass and these are red: ${clean.failed.join("; ") || "none"}`);
    return false;
  }
  say(`Without any mutant, all ${clean.passed} tests are green (${clean.seconds.toFixed(0)} s)\n`);
  say(`${"MUTANT".padEnd(72)} ${"SECONDS".padStart(7)}  CAUGHT BY`);

  let caught = 0;
  for (const mutant of chosen) {
    const { by, seconds } = await catcher(vitest, mutant);
    if (by !== undefined) caught += 1;
    say(`${mutant.name.padEnd(72)} ${seconds.toFixed(0).padStart(7)}  ${by ?? "NOTHING: it survived"}`);
  }
  const minutes = ((performance.now() - began) / 60_000).toFixed(0);
  say(`\n${caught} of ${chosen.length} mutants caught in ${minutes} min`);
  return caught === chosen.length && caught > 0;
}

/** The first test to notice it; undefined where all are green, or none could be run with it. */
async function catcher(vitest: WarmVitest, mutant: Mutant): Promise<{ by: string | undefined; seconds: number }> {
  try {
    const { failed, seconds } = await apply(mutant, () => vitest.run(mutant.tests, MUTANT_WITHIN_MS), vitest);
    return { by: failed[0], seconds };
  } catch (error) {
    say(`BROKEN: ${error instanceof Error ? error.message : String(error)}`);
    return { by: undefined, seconds: 0 };
  }
}

/** Runs `work` with the mutant in place. Throws where its text is not found exactly once. */
async function apply<T>(mutant: Mutant, work: () => Promise<T>, vitest?: WarmVitest): Promise<T> {
  const { name, file, search, replace } = mutant;
  const source = readFileSync(join(tree, file), "utf8");
  const occurrences = source.split(search).length - 1;
  if (occurrences !== 1) throw new Error(`Mutant "${name}": its text occurs ${occurrences} times in ${file}, not once`);
  const write = (text: string) => {
    writeFileSync(join(tree, file), text);
    vitest?.changed(file);
  };
  write(source.replace(search, () => replace));
  return work().finally(() => write(source));
}

/** Everything git knows or would add, and the installed packages by a link. */
function copyOfTree(): string {
  const copy = realpathSync(mkdtempSync(join(tmpdir(), "audit-pipeline-mutants-")));
  const list = execFileSync("git", ["ls-files", "-co", "--exclude-standard", "-z"], { cwd: root, encoding: "utf8" });
  for (const file of list.split("\0").filter((name) => name !== "" && existsSync(join(root, name)))) {
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    cpSync(join(root, file), join(copy, file));
  }
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
  return copy;
}
