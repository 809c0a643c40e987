import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { startPostgres } from "../../hack/servers/postgres.ts";
import { stateFolder } from "../../hack/servers/registry.ts";
import { fullSchedule } from "../faults/transactions.ts";
import { SEED } from "../support/seed.ts";
import { sharedServers } from "../support/servers.ts";
import { Random } from "./random.ts";
import { runStream, type StreamOptions } from "./stream.ts";

/** `make soak-all` takes 200,000 through all of them. */
const EVENTS = Number(process.env["STREAM_EVENTS"] ?? 30_000);
const FAULTS = Number(process.env["STREAM_FAULTS"] ?? 5);

const schedule = new Random(SEED).shuffle(fullSchedule);

// Without a fault there is nothing to show; with each of them no event may be lost, doubled or altered.
test.for<{ name: string; options: Pick<StreamOptions, "events" | "faults" | "client"> & { major: 15 | 18 } }>([
  {
    name: `${EVENTS} events through ${FAULTS} faults of the transaction`,
    options: { events: EVENTS, faults: schedule.slice(0, FAULTS), client: "platformatic", major: 18 },
  },
  {
    name: "a short stream through the other Kafka client and the other PostgreSQL",
    options: {
      events: 8_000,
      faults: ["commitAnswerLost", "setBack"],
      client: "kafkajs",
      major: 15,
    },
  },
])(`$name (SEED=${SEED})`, { timeout: 600_000 + 10 * EVENTS }, async ({ options: { major, ...options } }) => {
  mkdirSync(stateFolder, { recursive: true });
  const dir = mkdtempSync(join(stateFolder, "stream-"));
  const [bootstrapServers = ""] = sharedServers().kafka.bootstrapServers;
  const postgres = await startPostgres({ major, dir: join(dir, "postgres") });
  onTestFinished(({ task }) => {
    // What happened is kept where it went wrong.
    if (task.result?.state === "pass") rmSync(dir, { recursive: true, force: true });
  });

  const story: string[] = [];
  const say = (line: string) => story.push(line);
  const log = { bootstrapServers, sinkBootstrapServers: [bootstrapServers], brokers: [] };
  const result = await runStream({ ...options, perSecond: 2_000, seed: SEED, log, postgres, dir, say });

  const { verdict, verified, problems } = result;
  const context = `Seed ${SEED}, files in ${dir}\n${story.join("\n")}`;
  expect(verdict, context).toMatchObject({ lost: 0, doubled: 0, altered: 0, problems: [] });
  expect(verified.problems, context).toEqual([]);
  expect(problems, context).toEqual([]);
  expect(result.acknowledged).toBeGreaterThanOrEqual(options.events);
  const kinds = Object.keys(verdict.counts).toSorted();
  expect(kinds).toEqual(["Conflict", "DeadLettered", "Duplicate", "Stored"]);
});
