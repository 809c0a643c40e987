import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Command, Option } from "commander";
import { startPostgres } from "../../hack/servers/postgres.ts";
import { stateFolder } from "../../hack/servers/registry.ts";
import { Random } from "../stream/random.ts";
import { runStream, type StreamResult } from "../stream/stream.ts";
import { combinable, type FaultName, faultNames, faults } from "./catalogue.ts";
import { startOneBroker, startThreeBrokers } from "./servers.ts";

/**
 * Streams under faults on servers of their own.
 *   node test/faults/run.ts --row 24 --seed 7         one row of docs/reliability.md
 *   node test/faults/run.ts --faults zombie setBack   faults by name
 *   node test/faults/run.ts --minutes 30 --seed 7     random rounds, several faults at once among them (make soak)
 * The same seed gives the same events, the same order of faults and the same dice; what the machine does in between
 * differs. Exits with 1 where an event is lost, doubled or altered, or a fault's own check failed.
 */
const program = new Command("faults")
  .addOption(new Option("--row <numbers...>").choices(rows().map(String)))
  .addOption(new Option("--faults <names...>").choices(faultNames))
  .addOption(new Option("--minutes <n>", "random rounds for so long").argParser(Number))
  .addOption(new Option("--seed <n>", "default: the clock").argParser(Number))
  .addOption(new Option("--events <n>", "at least so many in each stream").argParser(Number).default(20_000))
  .addOption(new Option("--per-second <n>", "how fast they are produced").argParser(Number).default(2_000))
  .addOption(new Option("--outage-seconds <n>", "how long a server stays away").argParser(Number).default(3))
  .addOption(new Option("--crash-points <n>", "messages a sink is killed at").argParser(Number).default(20))
  .addOption(new Option("--client <name>").choices(["platformatic", "kafkajs"]).default("platformatic"))
  .addOption(new Option("--postgres <major>").choices(["15", "18"]).default("18"))
  .option("--no-churn", "let the sinks alone but for the faults")
  .parse();
const options = program.opts<{
  row?: string[];
  faults?: FaultName[];
  minutes?: number;
  seed?: number;
  events: number;
  perSecond: number;
  outageSeconds: number;
  crashPoints: number;
  client: "platformatic" | "kafkajs";
  postgres: "15" | "18";
  churn: boolean;
}>();

type Schedule = readonly (FaultName | readonly FaultName[])[];

const say = (message: string) => process.stdout.write(`${message}\n`);
const firstSeed = options.seed ?? Date.now() % 2 ** 31;
const total = { acknowledged: 0, lost: 0, doubled: 0, altered: 0, kills: 0, crashPoints: 0, faults: 0, failed: 0 };
const began = performance.now();
say(`Seed ${firstSeed}`);

if (options.minutes === undefined) await chosen();
else await soak(options.minutes);

const { acknowledged, lost, doubled, altered, kills, crashPoints, failed } = total;
say(
  `${acknowledged} events acknowledged under ${total.faults} faults, ${kills} kills and ${crashPoints} crash points in ` +
    `${Math.round((performance.now() - began) / 1000)} s: ${lost} lost, ${doubled} doubled, ${altered} altered`,
);
say(failed === 0 ? "Passed" : `FAILED: ${failed} streams; repeat with --seed and the schedule printed before each`);
process.exit(failed === 0 ? 0 : 1);

function rows(): number[] {
  return [...new Set(Object.values(faults).map(({ row }) => row))].toSorted((a, b) => a - b);
}

async function chosen(): Promise<void> {
  const wanted = new Set(options.row?.map(Number));
  const names = options.faults ?? faultNames.filter((name) => wanted.size === 0 || wanted.has(faults[name].row));
  const schedule = new Random(firstSeed).shuffle(names.filter(available));
  const needsThree = (name: FaultName) => faults[name].on === "ThreeBrokers";
  for (const [brokers, part] of [
    ["OneBroker", schedule.filter((name) => !needsThree(name))],
    ["ThreeBrokers", schedule.filter(needsThree)],
  ] as const) {
    if (part.length > 0) await stream(firstSeed, brokers, part);
  }
}

/** Rounds of a few minutes, each with a seed that follows from the first. */
async function soak(minutes: number): Promise<void> {
  const until = performance.now() + minutes * 60_000;
  const seeds = new Random(firstSeed);
  while (performance.now() < until) {
    const seed = seeds.below(2 ** 31);
    const random = new Random(seed);
    const brokers = random.chance(0.25) ? "ThreeBrokers" : "OneBroker";
    const fitting = faultNames.filter((name) => available(name) && (faults[name].on ?? brokers) === brokers);
    const singles = random.shuffle(fitting).slice(0, 7);
    const together = [2, 3, 4].map((count) => random.shuffle(combinable).slice(0, count));
    await stream(seed, brokers, random.shuffle([...singles, ...together]));
  }
}

function available(name: FaultName): boolean {
  const why = faults[name].unavailable?.();
  if (why !== undefined) say(`Left out: ${name} (row ${faults[name].row}), ${why}`);
  return why === undefined;
}

async function stream(seed: number, brokers: "OneBroker" | "ThreeBrokers", schedule: Schedule): Promise<void> {
  mkdirSync(stateFolder, { recursive: true });
  const dir = mkdtempSync(join(stateFolder, "stream-"));
  say(
    `\nStream with seed ${seed} on ${brokers}: ${schedule.map((step) => [step].flat().join("+")).join(" ")}\n  ${dir}`,
  );
  const [log, postgres] = await Promise.all([
    brokers === "ThreeBrokers" ? startThreeBrokers(dir) : startOneBroker(dir),
    startPostgres({ major: options.postgres === "15" ? 15 : 18, dir: join(dir, "postgres") }),
  ]);
  let good = false;
  try {
    const { outageSeconds, crashPoints: points, events, perSecond, client, churn } = options;
    const doses = { outageMs: outageSeconds * 1_000, crashPoints: points };
    const replicas = log.brokers.length;
    const result = await runStream({
      ...{ seed, events, perSecond, client, churn, doses, replicas },
      ...{ faults: schedule, log, postgres, dir, say },
    });
    good = report(result);
  } catch (error) {
    say(`PROBLEM ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  } finally {
    for (const [n, broker] of log.brokers.entries())
      copyFileSync(join(broker.dir, "server.log"), join(dir, `broker-${n + 1}.log`));
    await log.remove();
  }
  total.faults += schedule.flat().length;
  // What happened is kept where it went wrong.
  if (good) rmSync(dir, { recursive: true, force: true });
  else {
    total.failed += 1;
    say(`FAILED: logs and what was acknowledged are in ${dir}`);
  }
}

function report({ verdict, verified, problems, ...figures }: StreamResult): boolean {
  for (const problem of [...verdict.problems, ...problems]) say(`PROBLEM ${problem}`);
  for (const { check, partition, offset, reason } of verified.problems)
    say(`UNVERIFIED ${check} ${partition}/${offset}: ${reason}`);
  say(JSON.stringify({ ...figures, counts: verdict.counts }));
  total.acknowledged += figures.acknowledged;
  for (const name of ["lost", "doubled", "altered"] as const) total[name] += verdict[name];
  total.kills += figures.kills;
  total.crashPoints += figures.crashPoints;
  const bad = verdict.lost + verdict.doubled + verdict.altered;
  say(
    `${figures.acknowledged} acknowledged, ${bad} lost, doubled or altered; chains ${verified.good ? "verified" : "NOT verified"}`,
  );
  return bad === 0 && verified.good && problems.length + verdict.problems.length === 0;
}
