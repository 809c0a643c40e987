import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { startPostgres } from "../../hack/servers/postgres.ts";
import { stateFolder } from "../../hack/servers/registry.ts";
import { Random } from "../stream/random.ts";
import { runStream } from "../stream/stream.ts";
import { SEED } from "../support/seed.ts";
import { sharedServers } from "../support/servers.ts";
import { type FaultName, faults } from "./catalogue.ts";

/** Of those that are over within seconds; all others are left to `make soak` and to test/stream. */
const MOST = Number(process.env["QUICK_FAULTS"] ?? 6);
const quick: readonly FaultName[] = [
  "sessionsEnded",
  "deadlocked",
  "lockedOut",
  "everyErrorCode",
  "storeConnectionsCut",
  "filesExhausted",
  "clockJumps",
  "columnRenamed",
  "sizesAtTheLimits",
  "roleGone",
];
const available = quick.filter((name) => faults[name].unavailable?.() === undefined);
const short = new Random(SEED).shuffle(available).slice(0, MOST);

test(`no event is lost, doubled or altered by ${short.length} kinds of fault (SEED=${SEED})`, {
  timeout: 600_000,
}, async () => {
  mkdirSync(stateFolder, { recursive: true });
  const dir = mkdtempSync(join(stateFolder, "faults-"));
  const [bootstrapServers = ""] = sharedServers().kafka.bootstrapServers;
  const postgres = await startPostgres({ major: 18, dir: join(dir, "postgres") });
  onTestFinished(({ task }) => {
    // What happened is kept where it went wrong.
    if (task.result?.state === "pass") rmSync(dir, { recursive: true, force: true });
  });
  const story: string[] = [];
  const result = await runStream({
    seed: SEED,
    events: 3_000,
    perSecond: 2_000,
    faults: short,
    churn: false,
    doses: { outageMs: 1_000, crashPoints: 2 },
    client: "platformatic",
    log: { bootstrapServers, sinkBootstrapServers: [bootstrapServers], brokers: [] },
    postgres,
    dir,
    say: (line) => story.push(line),
  });

  const context = `Seed ${SEED}, files in ${dir}\n${story.join("\n")}`;
  expect(result.problems, context).toEqual([]);
  expect(result.verdict, context).toMatchObject({ lost: 0, doubled: 0, altered: 0, problems: [] });
  expect(result.verified.problems, context).toEqual([]);
});
