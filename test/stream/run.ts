import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Command, Option } from "commander";
import { startKafka } from "../../hack/servers/kafka.ts";
import { startPostgres } from "../../hack/servers/postgres.ts";
import { stateFolder } from "../../hack/servers/registry.ts";
import { type FaultName, faults, fullSchedule } from "./faults.ts";
import { runStream } from "./stream.ts";

/**
 * One stream under faults on servers of its own: `node test/stream/run.ts --seed 7 --events 200000`. The same seed gives
 * the same events, the same order of faults and the same dice for the churn; what the machine does in between differs.
 */
const program = new Command("stream")
  .addOption(new Option("--seed <n>", "default: the clock").argParser(Number))
  .addOption(new Option("--events <n>").argParser(Number).default(200_000))
  .addOption(new Option("--per-second <n>", "how fast they are produced").argParser(Number).default(2_000))
  .addOption(new Option("--faults <names...>").choices(Object.keys(faults)).default(fullSchedule))
  .addOption(new Option("--client <name>").choices(["platformatic", "kafkajs"]).default("platformatic"))
  .addOption(new Option("--postgres <major>").choices(["15", "18"]).default("18"))
  .parse();
const options = program.opts<{
  seed?: number;
  events: number;
  perSecond: number;
  faults: FaultName[];
  client: "platformatic" | "kafkajs";
  postgres: "15" | "18";
}>();

mkdirSync(stateFolder, { recursive: true });
const dir = mkdtempSync(join(stateFolder, "stream-"));
const seed = options.seed ?? Date.now() % 2 ** 31;
const say = (message: string) => process.stdout.write(`${message}\n`);
say(`Seed ${seed}. Logs and what was acknowledged: ${dir}`);

const [kafka, postgres] = await Promise.all([
  startKafka({ dir: join(dir, "kafka") }),
  startPostgres({ major: options.postgres === "15" ? 15 : 18, dir: join(dir, "postgres") }),
]);
let good = false;
try {
  const result = await runStream({
    ...options,
    seed,
    bootstrapServers: kafka.bootstrapServers,
    postgres,
    dir,
    log: say,
  });
  const { verdict, verified, problems, ...figures } = result;
  const { lost, doubled, altered, counts } = verdict;
  for (const problem of [...verdict.problems, ...problems]) say(`PROBLEM ${problem}`);
  for (const { check, partition, offset, reason } of verified.problems)
    say(`UNVERIFIED ${check} ${partition}/${offset}: ${reason}`);
  say(JSON.stringify({ ...figures, counts }));
  say(
    `${figures.acknowledged} acknowledged: ${lost} lost, ${doubled} doubled, ${altered} altered; chains ${verified.good ? "verified" : "NOT verified"}`,
  );
  good = lost + doubled + altered === 0 && verified.good && problems.length + verdict.problems.length === 0;
} finally {
  await Promise.all([kafka.remove(), postgres.remove()]);
}
// What happened is kept where it went wrong.
if (good) rmSync(dir, { recursive: true, force: true });
say(good ? "Stream passed" : `Stream FAILED: run again with --seed ${seed}`);
process.exit(good ? 0 : 1);
