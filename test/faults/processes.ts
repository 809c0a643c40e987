import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Sink } from "../stream/sinks.ts";
import { goesOn, SESSION_TIMEOUT_MS, until, type World } from "../stream/world.ts";
import type { Fault } from "./fault.ts";

/** What happens to the sinks' processes. */
export const processes = {
  rebalanceStorm: { row: 15, run: rebalanceStorm },
  killedAtAnyMessage: { row: 40, run: killedAtAnyMessage },
  killedAtAnyRequest: { row: 40, on: "OneBroker", run: killedAtAnyRequest },
  clockJumps: { row: 44, run: clockJumps },
  eventLoopStalled: { row: 46, run: eventLoopStalled },
  filesExhausted: { row: 46, unavailable: prlimitUnavailable, run: filesExhausted },
} as const satisfies Record<string, Fault>;

async function rebalanceStorm(world: World): Promise<void> {
  const { random, sinks, churned } = world;
  world.churn.mode = "None";
  for (let round = 0; round < 12; round += 1) {
    const { working } = sinks;
    if (working.length < 3 || random.chance(0.3)) await sinks.add();
    else if (random.chance(0.5)) await sinks.kill(random.pick(working));
    else void sinks.terminate(random.pick(working));
    churned.rebalances += 1;
    await sleep(random.between(200, 900));
  }
  world.say("Sinks came and went 12 times, without time to settle in between");
  await goesOn(world);
}

/** Startup, claims, COPY, each statement, each answer: a whole transaction has about forty messages. */
const MESSAGES = 120;

/** SIGKILL before the n-th message between a sink and the store, in either direction, goes through. */
async function killedAtAnyMessage(world: World): Promise<void> {
  await killedAt(world, MESSAGES, (sink, n, reached) => sink.proxy.onMessage(n, reached));
}

/** From the first ApiVersions to commits and dead letters, a dozen fetches and heartbeats among them. */
const REQUESTS = 60;

/** SIGKILL before the n-th request of a sink gets to the broker; a new sink has its first ones at its start. */
async function killedAtAnyRequest(world: World): Promise<void> {
  const { proxy } = world.log;
  if (proxy === undefined) throw new Error("There is no proxy before the broker");
  try {
    await killedAt(world, REQUESTS, (sink, n, reached) => proxy.onRequest(sink.name, n, reached));
  } finally {
    proxy.disarm();
  }
}

/** `arm` has `reached` called once the sink gets to its n-th step from now on. */
async function killedAt(
  world: World,
  steps: number,
  arm: (sink: Sink, n: number, reached: (step: string) => void) => void,
): Promise<void> {
  const { random, sinks, churned, doses } = world;
  world.churn.mode = "None";
  const points: string[] = [];
  while (points.length < doses.crashPoints) {
    await sinks.ensure(2);
    const sink = random.chance(0.5) ? random.pick(sinks.working) : await sinks.add();
    const n = 1 + random.below(steps);
    let reached: string | undefined;
    let killed: Promise<void> | undefined;
    arm(sink, n, (step) => {
      reached = step;
      killed = sinks.kill(sink);
    });
    await until(`${sink.name} gets to step ${n}`, 60_000, () => reached !== undefined);
    await killed;
    points.push(`${n} ${reached}`);
  }
  churned.crashPoints += points.length;
  world.say(`A sink was killed at each of these: ${points.join(", ")}`);
  await goesOn(world);
}

const HOUR_MS = 3_600_000;

/** Forward, back by two hours, and true again, within a second each. */
async function clockJumps(world: World): Promise<void> {
  world.churn.mode = "None";
  for (const offsetMs of [HOUR_MS, -HOUR_MS, 0]) {
    for (const sink of world.sinks.working) sink.sabotage({ kind: "Clock", offsetMs });
    await sleep(1_000);
    await goesOn(world);
  }
  world.say("The sinks' clocks jumped an hour ahead, two back, and to the truth; each time all went on");
}

/** Longer than the session timeout, in all sinks at once: no heartbeat, no timer, no answer is seen. */
async function eventLoopStalled(world: World): Promise<void> {
  world.churn.mode = "None";
  const ms = SESSION_TIMEOUT_MS + 4_000;
  for (const sink of world.sinks.working) sink.sabotage({ kind: "Stall", ms });
  await sleep(ms);
  world.say(`The event loop of every sink stood still for ${ms} ms`);
  await goesOn(world);
}

/** False: it has ended, as another fault at the same time may have it. */
function limitFiles(sink: Sink, soft: number): boolean {
  try {
    execFileSync("prlimit", ["--pid", String(sink.pid), `--nofile=${soft}:`], { stdio: "ignore" });
    return true;
  } catch (error) {
    if (sink.running && existsSync(`/proc/${sink.pid}`)) throw error;
    return false;
  }
}

function prlimitUnavailable(): string | undefined {
  try {
    execFileSync("prlimit", ["--version"]);
    return undefined;
  } catch {
    return "there is no prlimit";
  }
}

/** What is open stays open and nothing new can be: connections that break cannot be made again. */
async function filesExhausted(world: World): Promise<void> {
  world.churn.mode = "None";
  // One that still loads its modules would end, and be started again: a kill, and those are another fault.
  const begun = () => world.sinks.working.filter((sink) => sink.log().includes("Claimed partition"));
  await until("a sink has begun", 30_000, () => begun().length > 0);
  const limited = begun().filter((sink) => limitFiles(sink, 3));
  for (const { proxy } of limited) proxy.network.cut();
  await sleep(world.doses.outageMs);
  const refused = limited.filter((sink) => sink.log().includes("EMFILE"));
  for (const sink of limited) limitFiles(sink, 1_024);
  if (refused.length === 0) throw new Error("No sink ran out of files");
  world.say(`${refused.length} sinks had no file left to connect with`);
  await goesOn(world);
}
