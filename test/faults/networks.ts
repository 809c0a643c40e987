import { setTimeout as sleep } from "node:timers/promises";
import { goesOn, readProgress, SESSION_TIMEOUT_MS, STORE_TIMEOUT_MS, until, type World } from "../stream/world.ts";
import type { Fault } from "./fault.ts";
import type { Api, KafkaProxy } from "./kafka-proxy.ts";
import type { Direction } from "./network.ts";

/** What lies between the sinks and either server: silent one way or both, cut, answers lost. */
export const networks = {
  storeHearsNothing: { row: 43, run: (world) => silentStore(world, "ToServer") },
  storeIsNotHeard: { row: 43, run: (world) => silentStore(world, "ToClient") },
  storeConnectionsCut: { row: 43, run: storeConnectionsCut },
  brokerHearsNothing: { row: 43, on: "OneBroker", run: (world) => silentBroker(world, "ToServer") },
  brokerIsNotHeard: { row: 43, on: "OneBroker", run: (world) => silentBroker(world, "ToClient") },
  brokerIsSlow: { row: 43, on: "OneBroker", run: brokerIsSlow },
  storeIsSlow: { row: 43, run: storeIsSlow },
  brokerAnswersLost: { row: 43, on: "OneBroker", run: brokerAnswersLost },
} as const satisfies Record<string, Fault>;

/** Longer than a write may take: it is given up, and what became of it is asked on another connection. */
async function silentStore(world: World, direction: Direction): Promise<void> {
  world.churn.mode = "None";
  const { working } = world.sinks;
  for (const { proxy } of working) proxy.network.silence(direction);
  await sleep(STORE_TIMEOUT_MS + 2_000);
  for (const { proxy } of working) proxy.network.heal();
  world.say(`Between the sinks and PostgreSQL nothing arrived ${direction} for ${STORE_TIMEOUT_MS + 2_000} ms`);
  await goesOn(world);
}

async function storeConnectionsCut(world: World): Promise<void> {
  for (let round = 0; round < 15; round += 1) {
    for (const { proxy } of world.sinks.working) proxy.network.cut();
    await sleep(world.random.between(20, 200));
  }
  world.say("Every connection to PostgreSQL was cut 15 times");
  await goesOn(world);
}

const proxyOf = ({ log }: World): KafkaProxy => {
  if (log.proxy === undefined) throw new Error("There is no proxy before the broker");
  return log.proxy;
};

/** Longer than the session: the group gives everything away, to nobody. */
async function silentBroker(world: World, direction: Direction): Promise<void> {
  world.churn.mode = "None";
  const { network } = proxyOf(world);
  network.silence(direction);
  await sleep(SESSION_TIMEOUT_MS + 2_000);
  network.heal();
  world.say(`Between the sinks and the broker nothing arrived ${direction} for ${SESSION_TIMEOUT_MS + 2_000} ms`);
  await goesOn(world);
}

/** Each answer takes half a session: that is long, and no reason to leave the group, or nobody ever gets to write. */
async function brokerIsSlow(world: World): Promise<void> {
  world.churn.mode = "None";
  const { network } = proxyOf(world);
  const ms = SESSION_TIMEOUT_MS / 2;
  network.delayAnswers(ms);
  try {
    await world.sinks.add();
    await sleep(SESSION_TIMEOUT_MS);
    const tookMs = await claimsStand(world, 3 * SESSION_TIMEOUT_MS, 120_000);
    await goesOn(world, 120_000);
    world.say(
      `The broker took ${ms} ms for each answer; ${Math.round(tookMs)} ms later nobody left the group any more`,
    );
  } finally {
    network.heal();
  }
  await goesOn(world);
}

/** Waits until no partition was claimed anew for `ms`. */
async function claimsStand(world: World, ms: number, withinMs: number): Promise<number> {
  let epochs = "";
  let sinceMs = performance.now();
  return until(`no claim for ${ms} ms`, withinMs, async () => {
    const now = [...(await readProgress(world))]
      .map(([partition, { epoch }]) => `${partition}:${epoch}`)
      .sort()
      .join();
    if (now !== epochs) sinceMs = performance.now();
    epochs = now;
    return performance.now() - sinceMs >= ms;
  });
}

/** A transaction takes longer than a rebalance may wait for it, while sinks come. */
async function storeIsSlow(world: World): Promise<void> {
  world.churn.mode = "None";
  const ms = 700;
  try {
    const slow = () => {
      for (const { proxy } of world.sinks.working) proxy.network.delayAnswers(ms);
    };
    slow();
    await world.sinks.add();
    slow();
    const tookMs = await goesOn(world, 120_000);
    world.say(`PostgreSQL took ${ms} ms for each answer; all was settled in ${Math.round(tookMs)} ms`);
  } finally {
    for (const { proxy } of world.sinks.working) proxy.network.heal();
  }
  await goesOn(world);
}

const ASKED_ALL_THE_TIME: readonly Api[] = ["Fetch", "Heartbeat", "OffsetCommit", "Produce"];
const ASKED_BY_A_NEWCOMER: readonly Api[] = ["Metadata", "FindCoordinator", "JoinGroup", "SyncGroup"];

/** The broker has done what was asked, a dead letter written too: asked again it must do no harm. */
async function brokerAnswersLost(world: World): Promise<void> {
  const proxy = proxyOf(world);
  try {
    for (const api of ASKED_ALL_THE_TIME) await lose(proxy, api);
    for (const api of ASKED_BY_A_NEWCOMER) {
      const lost = lose(proxy, api);
      const newcomer = await world.sinks.add();
      await lost;
      await world.sinks.kill(newcomer);
    }
  } finally {
    proxy.disarm();
  }
  world.say(
    `The broker's answer was lost once for each of ${[...ASKED_ALL_THE_TIME, ...ASKED_BY_A_NEWCOMER].join(", ")}`,
  );
  await goesOn(world);
}

async function lose(proxy: KafkaProxy, api: Api): Promise<void> {
  let lost = false;
  void proxy.loseAnswer(api).then(() => {
    lost = true;
  });
  await until(`an answer to ${api} is lost`, 30_000, () => lost);
}
