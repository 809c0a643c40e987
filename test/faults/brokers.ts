import { setTimeout as sleep } from "node:timers/promises";
import type { Kafka } from "../../hack/servers/kafka.ts";
import { goesOn, until, type World } from "../stream/world.ts";
import type { Fault } from "./fault.ts";

/** Brokers of a cluster of three that are killed, replicas that are missing. */
export const brokers = {
  leadersKilled: { row: 13, on: "ThreeBrokers", run: leadersKilled },
  quorumLost: { row: 13, on: "ThreeBrokers", run: quorumLost },
  deadLettersLackReplicas: { row: 20, on: "ThreeBrokers", run: deadLettersLackReplicas },
} as const satisfies Record<string, Fault>;

const ROUNDS = 5;

export function brokerOf({ log }: World, id: number): Kafka {
  const broker = log.brokers[id - 1];
  if (broker === undefined) throw new Error(`There is no broker ${id}`);
  return broker;
}

/** The leader of some partition is killed, a new one is elected, and the old one comes back: five times. */
async function leadersKilled(world: World): Promise<void> {
  for (let round = 1; round <= ROUNDS; round += 1) {
    const partition = world.random.below(6);
    const leader = await world.topics.leader(partition);
    const broker = brokerOf(world, leader);
    await broker.kill();
    const tookMs = await until(`partition ${partition} has another leader`, 30_000, async () => {
      const now = await world.topics.leader(partition).catch(() => leader);
      return now !== leader && now >= 0;
    });
    await goesOn(world);
    await broker.restart();
    await replicasBack(world);
    world.say(`Broker ${leader} was killed (${round} of ${ROUNDS}); another led after ${Math.round(tookMs)} ms`);
  }
}

/** Two of three: nothing can be written, nor a leader elected. */
async function quorumLost(world: World): Promise<void> {
  const [, ...others] = world.random.shuffle(world.log.brokers);
  await Promise.all(others.map((broker) => broker.kill()));
  await sleep(world.doses.outageMs);
  await Promise.all(others.map((broker) => broker.restart()));
  await replicasBack(world);
  world.say(`Two of three brokers were away for ${world.doses.outageMs} ms`);
  await goesOn(world, 90_000);
}

/** Dead letters want all three replicas and one is away: poison holds its partition, good events go on elsewhere. */
async function deadLettersLackReplicas(world: World): Promise<void> {
  const { topics } = world;
  await topics.setDeadLettersConfig("min.insync.replicas", "3");
  const broker = world.random.pick(world.log.brokers);
  await broker.kill();
  await until("a partition is held for its dead letters", 60_000, () =>
    world.sinks.working.some((sink) => sink.log().includes("DeadLetterTopicUnavailable")),
  );
  await broker.restart();
  await replicasBack(world);
  const tookMs = await goesOn(world, 90_000);
  await topics.setDeadLettersConfig("min.insync.replicas", "2");
  world.say(`Dead letters lacked a replica, and were written ${Math.round(tookMs)} ms after it was back`);
}

export const replicasBack = (world: World) =>
  until("all replicas are in sync", 60_000, () => world.topics.inSync(world.log.brokers.length).catch(() => false));
