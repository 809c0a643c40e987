import { randomBytes } from "node:crypto";
import { describe, test } from "vitest";
import { Random } from "../stream/random.ts";
import { SEED } from "../support/seed.ts";
import { sharedServers } from "../support/servers.ts";
import { scenarios } from "./scenarios.ts";
import { killedRun, killPoints, referenceRun } from "./sweep.ts";

/** A slice of `make crash-sweep`, picked by SEED: so many scenarios, so many points of each. */
const SCENARIOS = Number(process.env["SWEEP_SCENARIOS"] ?? 8);
const POINTS = Number(process.env["SWEEP_POINTS"] ?? 5);
const random = new Random(SEED);

const { kafka, postgres15, postgres18 } = sharedServers();
const [host = "", port = ""] = (kafka.bootstrapServers[0] ?? "").split(":");
const servers = { kafka: { host, port: Number(port) }, postgres: SEED % 2 === 0 ? postgres15 : postgres18 };
const picked = random.shuffle(scenarios).slice(0, SCENARIOS);
const newNamespace = () => `s${randomBytes(4).toString("hex")}`;

describe.concurrent(`an operator killed at a write (SEED=${SEED})`, () => {
  test.for(picked)("$name ends as if it had not been killed", { timeout: 180_000 }, async (scenario, { expect }) => {
    const reference = await referenceRun(servers, scenario, newNamespace());
    let kills = 0;
    const points = random.shuffle(killPoints(reference)).slice(0, POINTS);
    for (const point of points) {
      const { killed, problems } = await killedRun(servers, reference, point, newNamespace());
      const { what } = reference.calls[point.call - 1] ?? {};
      const again = `node test/sweep/run.ts --scenario ${scenario.name} --call ${point.call} --phase ${point.phase}`;
      expect(problems, `${again} (${what})`).toEqual([]);
      if (killed) kills += 1;
    }
    expect(kills).toBeGreaterThanOrEqual(points.length - 1);
  });
});
