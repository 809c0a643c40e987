import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Command, Option } from "commander";
import { startKafka } from "../../hack/servers/kafka.ts";
import { startPostgres } from "../../hack/servers/postgres.ts";
import { stateFolder } from "../../hack/servers/registry.ts";
import { Random } from "../stream/random.ts";
import { type KillPoint, PHASES, type Phase } from "./life.ts";
import { scenarios } from "./scenarios.ts";
import { killedRun, killPoints, type Reference, referenceRun } from "./sweep.ts";

/**
 * Kills the operator at every write of every scenario, in every phase, on servers of its own. One point again:
 * `node test/sweep/run.ts --scenario create --call 17 --phase answer-lost`.
 */
const program = new Command("sweep")
  .addOption(new Option("--scenario <names...>").choices(scenarios.map(({ name }) => name)))
  .addOption(new Option("--call <n>", "only this write").argParser(Number))
  .addOption(new Option("--phase <names...>").choices(PHASES).default(PHASES))
  .addOption(new Option("--every", "every statement inside a transaction in every phase, too"))
  .addOption(new Option("--points <n>", "so many of all, picked at random").argParser(Number))
  .addOption(new Option("--minutes <n>", "as many as it gets to in that time, picked at random").argParser(Number))
  .addOption(new Option("--seed <n>", "of that pick").argParser(Number).default(1))
  .addOption(new Option("--at-once <n>").argParser(Number).default(2))
  .addOption(new Option("--postgres <major>").choices(["15", "18"]).default("18"))
  .addOption(new Option("--list", "print the writes of the undisturbed runs, and kill nothing"))
  .parse();
const options = program.opts<{
  scenario?: string[];
  call?: number;
  phase: Phase[];
  every?: boolean;
  points?: number;
  minutes?: number;
  seed: number;
  atOnce: number;
  postgres: "15" | "18";
  list?: boolean;
}>();

const say = (message: string) => process.stdout.write(`${message}\n`);
const newNamespace = () => `s${randomBytes(4).toString("hex")}`;

mkdirSync(stateFolder, { recursive: true });
const dir = mkdtempSync(join(stateFolder, "sweep-"));
const [kafka, postgres] = await Promise.all([
  startKafka({ dir: join(dir, "kafka") }),
  startPostgres({ major: options.postgres === "15" ? 15 : 18, dir: join(dir, "postgres") }),
]);
const servers = { kafka, postgres };

interface Point extends KillPoint {
  readonly reference: Reference;
}

let failures = 0;
let missed = 0;
const began = performance.now();
const seconds = () => Math.round((performance.now() - began) / 1000);
try {
  const points = await allPoints();
  const inOrder = options.points === undefined && options.minutes === undefined;
  const picked = inOrder ? points : new Random(options.seed).shuffle(points).slice(0, options.points);
  say(`${picked.length} of ${points.length} points`);
  const done = options.list === true ? [] : await killAtEach(picked);
  const counts = PHASES.map((phase) => `${done.filter((point) => point.phase === phase).length} ${phase}`);
  say(
    `${done.length} points in ${new Set(done.map(({ reference }) => reference)).size} scenarios (${counts.join(", ")}), ` +
      `${failures} with another end, ${missed} not reached, ${seconds()} s`,
  );
} finally {
  await Promise.all([kafka.remove(), postgres.remove()]);
  rmSync(dir, { recursive: true, force: true });
}
say(failures === 0 ? "Sweep passed" : "Sweep FAILED");
process.exit(failures === 0 ? 0 : 1);

async function allPoints(): Promise<Point[]> {
  const points: Point[] = [];
  for (const scenario of scenarios.filter(({ name }) => options.scenario?.includes(name) ?? true)) {
    const reference = await referenceRun(servers, scenario, newNamespace());
    say(`${scenario.name}: ${reference.calls.length} writes`);
    if (options.list === true) reference.calls.forEach(({ system, what }, n) => say(`  ${n + 1} ${system} ${what}`));
    const wanted = killPoints(reference, options.every ?? options.call !== undefined)
      .filter(({ call }) => options.call === undefined || options.call === call)
      .filter(({ phase }) => options.phase.includes(phase));
    points.push(...wanted.map((point) => ({ ...point, reference })));
  }
  return points;
}

/** @returns those it got to */
async function killAtEach(points: readonly Point[]): Promise<Point[]> {
  const rest = [...points];
  const until = (options.minutes ?? Number.POSITIVE_INFINITY) * 60;
  const done: Point[] = [];
  const work = async () => {
    for (let point = rest.shift(); point !== undefined && seconds() < until; point = rest.shift()) {
      const { killed, problems } = await killedRun(servers, point.reference, point, newNamespace()).catch(broken);
      done.push(point);
      if (!killed) missed += 1;
      if (done.length % 25 === 0) say(`${done.length} of ${points.length}, ${seconds()} s`);
      if (problems.length > 0) report(point, problems);
    }
  };
  await Promise.all(Array.from({ length: options.atOnce }, work));
  return done;
}

function broken(error: unknown) {
  return { killed: true, problems: [error instanceof Error ? (error.stack ?? error.message) : String(error)] };
}

function report({ reference, call, phase }: Point, problems: readonly string[]): void {
  failures += 1;
  const { scenario, calls } = reference;
  say(`PROBLEM node test/sweep/run.ts --scenario ${scenario.name} --call ${call} --phase ${phase}`);
  say(`  killed at: ${calls[call - 1]?.system} ${calls[call - 1]?.what}`);
  for (const problem of problems) say(`  ${problem}`);
}
